"""requirements.txt is a lock of requirements.in: exact, hashed, complete, and free of anybody's index."""

import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent
LOCK = (ROOT / "requirements.txt").read_text("utf-8")


def _wanted() -> list[Requirement]:
    lines = (ROOT / "requirements.in").read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def _pins() -> list[Requirement]:
    """A package may have several, for one version of Python each."""
    return [Requirement(line.rstrip("\\ ")) for line in LOCK.splitlines() if re.match(r"[a-zA-Z]", line)]


def _locked() -> dict[str, Requirement]:
    return {canonicalize_name(item.name): item for item in _pins()}


def test_given_the_lock_when_read_then_it_satisfies_what_is_wanted() -> None:
    locked = _locked()
    for wanted in _wanted():
        name = canonicalize_name(wanted.name)
        assert name in locked, f"{name}: run `make lock`"
        (pin,) = locked[name].specifier
        assert pin.operator == "=="
        assert wanted.specifier.contains(pin.version), f"{name}: run `make lock`"


def test_lock_has_hashes_for_every_pin_and_names_no_index() -> None:
    blocks = re.split(r"\n(?=[a-z])", LOCK.split("\n", 2)[2])
    assert len(blocks) == len(_pins())
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"https?:|--index|--extra|--find-links|--trusted|file:", LOCK)


def test_given_the_lock_when_read_then_no_line_that_breaks_the_python_sdk() -> None:
    locked = _locked()
    # 2.x of both needs Python 3.13 and drops the programming model; the worker is the platform's own.
    for name in ("azure-functions", "azure-functions-durable"):
        assert str(locked[name].specifier).startswith("==1.")
    assert "azure-functions-worker" not in locked
