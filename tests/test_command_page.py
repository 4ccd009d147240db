"""The page of the command line is what the program says of itself, and its help is fast."""

import subprocess
import sys
import time

import pytest

from mobexport.cli import main
from mobexport.cli.exits import MEANINGS, Exit
from scripts.command_page import PAGE, with_parts


def test_command_page_is_what_the_program_says() -> None:
    text = PAGE.read_text("utf-8")
    assert text == with_parts(text), "write it anew: python -m scripts.command_page"
    assert text.count("### mobexport") >= 25


def test_every_exit_code_has_its_meaning() -> None:
    assert set(MEANINGS) == set(Exit)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_given_a_shell_then_its_completion_script(capsys, shell: str) -> None:
    assert main(["completion", shell]) == 0
    assert "_MOBEXPORT_COMPLETE" in capsys.readouterr().out


def test_given_words_when_completed_then_commands_and_choices() -> None:
    for words, at, wanted in (("mobexport ", 1, "export"), ("mobexport list --state Su", 3, "succeeded")):
        done = subprocess.run(
            [sys.executable, "-m", "mobexport"],
            env={"_MOBEXPORT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert wanted in done.stdout.lower()


def test_given_no_libraries_then_one_line_and_what_to_install(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "click", None)
    monkeypatch.delitem(sys.modules, "mobexport.cli.program", raising=False)
    assert main(["list"]) == 2
    assert "mobile-engagement-export[cli]" in capsys.readouterr().err


def test_given_help_then_nothing_heavy_is_imported_for_it() -> None:
    heavy = "requests pyarrow deltalake duckdb azure.storage pydantic rich msgspec"
    code = (
        "import sys; from mobexport.cli import main; main(['--help']);"
        f"sys.exit([m for m in {heavy.split()!r} if m in sys.modules] or 0)"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began < 3  # 0.13 s alone


def test_given_a_reader_that_stops_then_quiet() -> None:
    command = f"{sys.executable} -m mobexport openapi | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("{\n", "")
