"""The store: what one transaction leaves, and what it refuses."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import azure.durable_functions as df
import pytest

from devhost.durable.commit_points import CommitPoint
from devhost.durable.engine import Engine
from devhost.durable.history import task_completed
from devhost.durable.store import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Counting(Store):
    """Remembers its commits."""

    def __init__(self) -> None:
        self.commits: list[CommitPoint] = []
        super().__init__(":memory:")

    def _commit(self, point: CommitPoint) -> None:
        self.commits.append(point)
        super()._commit(point)


def busy(context):
    yield context.task_all([context.call_activity("say", n) for n in range(2)])
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=5))


def _engine(store: Store) -> Engine:
    return Engine(store, {"busy": df.Orchestrator.create(busy)}, ["say"], clock=lambda: NOW)


def test_given_an_activity_run_twice_then_the_second_result_is_dropped() -> None:
    store = Store(":memory:")
    engine = _engine(store)
    engine.run_episode(engine.start("busy", None, "b"))
    first = store.activities()[0]
    assert store.complete_activity(first, task_completed(NOW, first.task_id, "1"))
    assert not store.complete_activity(first, task_completed(NOW, first.task_id, "2"))
    assert [message.event["Result"] for message in store.inbox("b")] == ["1"]
    store.close()


def test_given_a_failed_commit_when_retried_then_the_store_goes_on() -> None:
    class Full(Store):
        full = True

        def _commit(self, point: CommitPoint) -> None:
            if self.full:
                raise sqlite3.OperationalError("database or disk is full")
            super()._commit(point)

    store = Full(":memory:")
    engine = _engine(store)
    with pytest.raises(sqlite3.OperationalError):
        engine.start("busy", None, "b")
    assert store.instance("b") is None
    store.full = False
    assert engine.start("busy", None, "b") == "b"
    store.close()


def test_given_a_writer_at_work_then_readers_see_what_is_committed(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "s.sqlite")
    engine = _engine(store)
    engine.start("busy", None, "b")
    with store._transaction(CommitPoint.PURGE) as db:
        db.execute("DELETE FROM instance")
        # In this very thread: a reader that needed the writer's lock would wait for ever.
        assert store.instance("b") is not None
    assert store.instance("b") is None
    store.close()


def test_given_a_whole_orchestration_when_run_then_each_step_is_one_commit() -> None:
    store = Counting()
    engine = _engine(store)
    engine.run_episode(engine.start("busy", None, "b"))
    for call in store.activities():
        engine.activity_succeeded(call, "1")
    engine.run_episode("b")
    engine.fire_due_timers(NOW + timedelta(seconds=4))
    engine.fire_due_timers(NOW + timedelta(seconds=6))
    engine.run_episode("b")
    store.purge(["b"])
    assert store.commits == [
        CommitPoint.START,
        CommitPoint.EPISODE,
        CommitPoint.ACTIVITY_DONE,
        CommitPoint.ACTIVITY_DONE,
        CommitPoint.EPISODE,
        CommitPoint.TIMERS_FIRED,
        CommitPoint.END,
        CommitPoint.PURGE,
    ]
    store.close()
