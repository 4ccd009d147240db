"""The made-up data: the same bytes every time, and every term of the counts in it."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from samples.generate import APPS, WINDOW, generate, main
from samples.recount import recount

# Changes only when the sample is changed on purpose; the demo's transcript in the README changes with it.
SHA256 = "05fc0b61a41b3cb14e656c7d0302b429b0e41abd4a554e3e5b26f31b0b4e63c4"
STRICT_APP = APPS[1].name


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "raw"
    generate(folder)
    return folder


def digest(folder: Path) -> str:
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*.ndjson")):
        total.update(f"{file.relative_to(folder).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return total.hexdigest()


def test_given_the_seed_when_generated_then_the_bytes_are_the_pinned_ones(sample: Path) -> None:
    assert digest(sample) == SHA256


def test_given_another_hash_seed_when_generated_by_the_command_then_the_bytes_are_the_same(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "samples.generate", "--out", str(tmp_path / "raw")]
    done = subprocess.run(command, env={"PYTHONHASHSEED": "77"}, check=True, capture_output=True, text=True)
    assert digest(tmp_path / "raw") == SHA256
    assert "lines of 2 apps" in done.stdout


def test_given_the_sample_when_counted_then_every_term_is_there(sample: Path) -> None:
    event = recount(sample, APPS[0].name, "Event", WINDOW, strict=False)
    tag = recount(sample, APPS[0].name, "Tag", None, strict=False)
    strict = recount(sample, STRICT_APP, "Event", WINDOW, strict=True)
    assert min(event.read, event.rejected, event.outside_window, event.exported) > 0
    assert min(tag.rejected, tag.superseded, tag.removed, tag.exported) > 0
    assert 0 < strict.conversion_rejects < strict.exported
    assert {
        "not JSON",
        "not an object",
        "not UTF-8",
        "no deviceId",
        "no name",
        "no timestamp",
        "bad time",
    } == set(event.reasons)


def test_given_the_sample_when_read_then_the_oddities_are_in_it(sample: Path) -> None:
    events = b"".join(file.read_bytes() for file in sorted(sample.glob(f"{APPS[0].name}/events/*/*")))
    for oddity in (
        b'"sessionId":null',
        b"guest-",
        b'"coupon":null',
        b'"orderId":9431727901530173',  # odd and beyond 2^53: no double has this value
        b"+02:00",
        b"appVersion",
    ):
        assert oddity in events, oddity
    assert "お茶".encode() in events
    assert any(line and b'"sessionId"' not in line for line in events.split(b"\n"))


def test_given_a_folder_with_something_in_it_when_generated_then_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    assert main(["--out", str(tmp_path)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
