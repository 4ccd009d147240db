"""The quick benches start, and end with one line of JSON; their figures are for people to read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = {
    "cliffs": ("--mb", "1"),
    "mapped": ("--events", "2000", "--rounds", "1"),
    "scale": (),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_given_little_to_do_when_run_then_ends_with_json(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *SMALL[name]],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert isinstance(json.loads(done.stdout.splitlines()[-1]), dict)
