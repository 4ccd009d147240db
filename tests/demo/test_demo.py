"""The demo from outside: it tells its story, leaves nothing running, and the README tells the same."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.raw_data import TYPES
from demo.story import differs, transcript_in
from localdev.azurite import missing
from localdev.processes import ROOT

pytestmark = [
    pytest.mark.azurite,
    pytest.mark.slow,
    pytest.mark.xdist_group("demo"),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
REAL_DATA = ROOT.parent / "shared" / "data" / "engagement-raw"


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str
    state: Path


def run_demo(state: Path, *arguments: str) -> Run:
    command = [sys.executable, "-m", "demo", "--state", str(state), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    return Run(done.returncode, done.stdout, done.stderr, state)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_demo(tmp_path_factory.mktemp("demo") / "demo-state")


def test_given_the_sample_then_the_demo_succeeds_and_tells_its_story(demo: Run) -> None:
    assert demo.code == 0, demo.out + demo.err
    assert len(re.findall(r"^   202  ", demo.out, re.MULTILINE)) == 12
    assert len(re.findall(r"^   200  .*the same export", demo.out, re.MULTILINE)) == 1
    assert re.search(r"killed with \d+ of 12 exports unfinished", demo.out)
    assert demo.out.count(": Succeeded, attempt 1") == 12
    for name in TYPES:
        assert re.search(rf"^   shop.example.ios {name}.*: Succeeded", demo.out, re.MULTILINE)
    assert "numbers compared, all the same" in demo.out
    assert "every signature verified" in demo.out
    assert "differs" not in demo.out


def test_given_the_sample_when_counted_then_the_table_has_every_term(demo: Run) -> None:
    assert re.search(r"shop.example.ios Event +10,692 = +66 \+ +3,524 \+ +0 \+ +0 \+ +7,102 +same", demo.out)
    assert re.search(
        r"shop.example.ios Device +2,626 = +114 \+ +45 \+ +2,084 \+ +138 \+ +245 +same", demo.out
    )
    assert re.search(r"news.example.android Event +2,650 = +2,441 \+ +209 +same", demo.out)


def test_given_a_finished_demo_then_none_of_its_processes_is_left(demo: Run) -> None:
    commands = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(file.read_bytes())
        except OSError:
            continue
    assert not [one for one in commands if os.fsencode(demo.state) in one]


def test_readme_transcript_is_what_the_demo_prints(demo: Run) -> None:
    readme = ROOT / "README.md"
    told = transcript_in(readme.read_text("utf-8")) if readme.exists() else None
    if told is None:
        pytest.skip("README.md has no transcript")
    assert differs(told, demo.out.splitlines()) is None


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real data is not beside this checkout")
def test_given_real_data_when_the_demo_runs_then_every_number_agrees(tmp_path: Path) -> None:
    real = run_demo(tmp_path / "demo-state", "--data", str(REAL_DATA))
    assert real.code == 0, real.out + real.err
    assert "numbers compared, all the same" in real.out
