"""Chaos, short: the host killed at every commit; a store that splits a commit is found; the audit's rules."""

from __future__ import annotations

import copy
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from chaos.audit import audit, check_history
from chaos.host import AFTER, BEFORE, Kill
from chaos.run import Arena, plan, run
from chaos.workload import EXPECTED, Client, Order, check_results

from devhost.azurite import Azurite
from devhost.durable.commit_points import CommitPoint
from devhost.durable.history import Event, Kind
from devhost.durable.store import Store
from devhost.replay import ReplayHarness

pytestmark = pytest.mark.long

SPLIT = """
import sys
from chaos.host import KillingStore, main
from devhost.durable.commit_points import CommitPoint

class Split(KillingStore):
    def commit_episode(self, before, consumed, outcome):
        with self._transaction(CommitPoint.EPISODE) as db:
            db.executemany("DELETE FROM inbox WHERE seq = ?", [(m.seq,) for m in consumed])
        return super().commit_episode(before, [], outcome)

sys.exit(main(Split))
"""


@pytest.mark.slow
def test_given_kills_at_every_commit_then_nothing_lost_doubled_or_stuck(
    tmp_path: Path, azurite: Azurite
) -> None:
    said: list[str] = []
    problems = run(
        20180331, azurite.connection_string, kills=4, numbers=(1,), folder=tmp_path, say=said.append
    )
    assert problems == [], "\n".join(said)


@pytest.mark.slow
def test_given_a_store_that_splits_episode_commits_then_chaos_finds_it(
    tmp_path: Path,
) -> None:
    script = tmp_path / "split.py"
    script.write_text(SPLIT)
    arena = Arena(tmp_path / "arena", host=(sys.executable, str(script)), patience=6)
    try:
        arena.client.add("one", list(EXPECTED))
        if arena.start(Kill(CommitPoint.EPISODE, AFTER, 1)):
            arena.work(lambda: arena.is_settled)
        arena.bury()
        problems = arena.finish()
    finally:
        arena.abandon()
    assert any(": never ended" in problem for problem in problems)
    assert any("stuck" in problem or "not closed" in problem for problem in problems)


def test_kill_plan_leaves_out_no_commit_point_and_no_side() -> None:
    kills = plan((1, 3), blobs=True)
    assert {(kill.point, kill.side) for kill in kills} == {
        (point, side) for point in CommitPoint for side in (BEFORE, AFTER)
    }
    assert [Kill.parse(str(kill)) for kill in kills] == kills


def busy(context):
    yield context.task_all([context.call_activity("say", n) for n in range(2)])
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=5))
    yield context.call_sub_orchestrator("kid")
    return (yield context.wait_for_external_event("go"))


def kid(context):
    return (yield context.call_activity("say", "kid"))


def _history() -> list[Event]:
    harness = ReplayHarness({"busy": busy, "kid": kid}, {"say": lambda given: given})
    instance_id = harness.start("busy")
    harness.raise_event(instance_id, "go", 1, at=60)
    harness.run()
    return harness.history(instance_id)


def _at(events: list[Event], kind: Kind, nth: int = 0) -> int:
    return [i for i, event in enumerate(events) if event["EventType"] == kind][nth]


def _twice(kind: Kind) -> Callable[[list[Event]], None]:
    return lambda events: events.insert(_at(events, kind) + 1, dict(events[_at(events, kind)]))


def _without(kind: Kind, nth: int = 0) -> Callable[[list[Event]], None]:
    return lambda events: events.__delitem__(_at(events, kind, nth))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_twice(Kind.EXECUTION_STARTED), "started 2 times"),
        (_twice(Kind.EXECUTION_COMPLETED), "completed 2 times"),
        (_without(Kind.EXECUTION_COMPLETED), "completed 0 times"),
        (_twice(Kind.TASK_SCHEDULED), "number 0 was given twice"),
        (_twice(Kind.TASK_COMPLETED), "TASK_COMPLETED for number 0 came twice"),
        (_twice(Kind.TIMER_FIRED), "TIMER_FIRED for number 2 came twice"),
        (_twice(Kind.SUB_COMPLETED), "SUB_COMPLETED for number 3 came twice"),
        (_twice(Kind.EVENT_RAISED), "event go"),
        (_without(Kind.TASK_SCHEDULED), "which is no TASK_SCHEDULED"),
        (_without(Kind.ORCHESTRATOR_COMPLETED), "a batch began inside another"),
        (_without(Kind.ORCHESTRATOR_COMPLETED, -1), "its last batch was not closed"),
        (lambda events: events.clear(), "started 0 times"),
    ],
)
def test_given_a_damaged_history_when_audited_then_the_damage_is_named(
    damage: Callable[[list[Event]], Any], words: str
) -> None:
    events = _history()
    assert list(check_history(copy.deepcopy(events), ended=True)) == []
    damage(events)
    assert any(words in problem for problem in check_history(events, ended=True))


def test_given_leftovers_in_a_state_file_when_audited_then_each_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    Store(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        columns = "id, name, execution_id, status, created, updated, generation, seeded"
        for name, status, seeded in (("a", "Running", 0), ("b", "Running", 1), ("c", "Completed", 0)):
            db.execute(
                f"INSERT INTO instance ({columns}) VALUES (?,?,?,?,?,?,?,?)",
                (name, "x", "e", status, 0, 0, 0, seeded),
            )
        db.execute("INSERT INTO inbox (instance_id, event) VALUES ('c', '{}'), ('d', '{}')")
    problems = list(audit(path))
    for wanted in (
        "a: stuck, Running",
        "b: stuck, Running before",
        "c: ended, but has 1 rows in inbox",
        "d: unknown",
    ):
        assert any(problem.startswith(wanted) for problem in problems), wanted


def test_given_wrong_results_when_checked_then_each_is_named(tmp_path: Path) -> None:
    runs = tmp_path / "runs.log"
    runs.write_text("activity a/flaky\n")
    done = {"exists": True, "done": True}
    client = Client(
        [
            Order("retries", "a", **done, result={"value": 6, "keys": ["a/flaky"]}),
            Order("retries", "b", **done, result={"value": 6, "keys": ["b/flaky"]}),
            Order("retries", "c", **done, result={"value": 7, "keys": []}),
            Order("retries", "d"),
        ]
    )
    assert list(check_results(client, runs)) == [
        "b: b/flaky never ran",
        "c: gave {'value': 7, 'keys': []} instead of 6",
        "c: 0 activities instead of 1",
        "d: never ended",
    ]
