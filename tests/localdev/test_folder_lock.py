"""Folders that the demo and the start wipe or fill: one process at a time; a Python that has changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from demo.__main__ import main as demo
from localdev import start
from localdev.folder_lock import locked
from localdev.processes import ROOT, StartError, free_ports

HOLD = """
import sys, time
from pathlib import Path
from localdev.folder_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path: Path):
    """A folder that another process holds."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "kept").touch()
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    yield folder, child
    child.kill()
    child.wait()


def test_a_folder_in_use_is_refused_until_its_process_is_gone(held) -> None:
    folder, child = held
    with pytest.raises(StartError, match=f"in use by process {child.pid}"), locked(folder):
        pass
    child.kill()
    child.wait()
    with locked(folder):
        pass


def test_the_demo_wipes_no_folder_in_use(held, capsys) -> None:
    folder, _ = held
    (folder / ".demo").touch()
    assert demo(["--state", str(folder)]) == 1
    assert "in use by process" in capsys.readouterr().err
    assert (folder / "kept").exists()


def test_start_refuses_a_folder_in_use(held, monkeypatch, capsys) -> None:
    folder, _ = held
    monkeypatch.setenv("EXPORTS_CONFIG", "/dev/null")
    assert start.main(["--state", str(folder), "--port", str(free_ports(1)[0])]) == 1
    assert "in use by process" in capsys.readouterr().err


def make(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The rule that makes `.venv`, in a copy."""
    given = [f"{name}={value}" for name, value in variables.items()]
    return subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), ".venv/.python-" + variables.get("WANTED", "3.11"), *given],
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_python_that_the_sdk_does_not_support_is_refused(tmp_path: Path) -> None:
    done = make(tmp_path, PYTHON="python9", WANTED="3.13", FOUND="")
    assert done.returncode != 0
    assert "Python 3.11 or 3.12 is needed" in done.stderr


def test_an_environment_whose_python_changed_is_made_anew(tmp_path: Path) -> None:
    version = "{}.{}".format(*sys.version_info[:2])
    (tmp_path / ".venv" / "lib" / "python3.10").mkdir(parents=True)
    done = make(tmp_path, PYTHON=sys.executable, WANTED=version, FOUND=version)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / ".venv" / "lib" / "python3.10").exists()
    assert (tmp_path / ".venv" / "lib" / f"python{version}").exists()
    (tmp_path / ".venv" / "mine").touch()
    (tmp_path / ".venv" / f".python-{version}").unlink()
    assert "Setting up" not in make(tmp_path, PYTHON=sys.executable, WANTED=version, FOUND=version).stdout
    assert (tmp_path / ".venv" / "mine").exists()
