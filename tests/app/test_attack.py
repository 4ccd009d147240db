"""A short, seeded part of `make attack`, and its judges: the running app holds, within its memory."""

import random
from pathlib import Path

import pytest

from benchmarks.attack.__main__ import table
from benchmarks.attack.rounds import attack
from benchmarks.attack.scenario import Scenario, play
from benchmarks.attack.stage import Ends, Stage
from localdev.azurite import missing

SEED = 20250323


@pytest.mark.long
@pytest.mark.azurite
@pytest.mark.skipif(bool(missing()), reason=str(missing()))
@pytest.mark.parametrize("peer", ["export-apis", "callers", "key-servers"])
def test_given_a_short_attack_then_all_held(tmp_path: Path, peer: str) -> None:
    report = attack(tmp_path, random.Random(SEED), short=True, only=peer)
    assert len(report.results) > 8
    assert not [one for one in report.results if one.problem], table(report.results)


def judged(monkeypatch: pytest.MonkeyPatch, export: dict) -> str:
    """The problem that a scenario has with an export that ended so; empty for none."""
    stage = Stage(app=None, storage=None)  # type: ignore[arg-type] - not asked for
    monkeypatch.setattr(stage, "ask", lambda *_: (200, {"phase": "done", "error": None, **export}))
    return play(Scenario("p", "n", lambda: stage.expect("e", Ends({"Succeeded", "Failed"}, 2), 1))).problem


@pytest.mark.parametrize(
    ("export", "says"),
    [
        ({"state": "Succeeded", "counts": {"rows": 2}}, ""),
        ({"state": "Succeeded", "counts": {"rows": 1_000_000}}, "1000000 rows, not 2"),
        ({"state": "Empty", "counts": None}, "Empty, not Failed or Succeeded"),
        ({"state": "Failed", "counts": None}, "without a message"),
        ({"state": "Failed", "counts": None, "error": {"message": "m", "kind": "bug"}}, "a bug"),
    ],
)
def test_given_an_end_that_may_not_be_then_not_held(monkeypatch, export: dict, says: str) -> None:
    problem = judged(monkeypatch, export)
    assert says in problem
    assert bool(problem) == bool(says)


def test_given_a_scenario_that_breaks_then_it_counts_as_not_held() -> None:
    def breaks() -> None:
        raise KeyError("x")

    found = play(Scenario("p", "n", breaks))
    assert "KeyError" in found.problem
    assert "NOT HELD  p: n" in table([found])
