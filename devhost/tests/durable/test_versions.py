"""Versions: which of them run here, and which one a new orchestration gets."""

from __future__ import annotations

import azure.durable_functions as df
import pytest

from devhost.durable.engine import Engine
from devhost.durable.store import Store
from devhost.durable.versions import Versioning


@pytest.mark.parametrize(
    ("versioning", "runs", "waits"),
    [
        # Recorded: without defaultVersion any start with a version stays Pending.
        (Versioning(), [None, ""], ["1.0", "2.0"]),
        (Versioning("2.0"), [None, "1.0", "1.9.9", "2.0"], ["2.1", "3.0", "10.0"]),
        (Versioning("10.0"), ["9.0", "10.0"], ["10.1"]),
        (Versioning("2.0", "strict"), ["2.0"], ["1.0", "3.0"]),
        (Versioning(None, "None"), ["1.0", "7"], []),
    ],
)
def test_given_a_strategy_when_a_version_comes_then_it_runs_or_waits(
    versioning: Versioning, runs: list[str | None], waits: list[str]
) -> None:
    assert [v for v in runs if not versioning.runs(v)] == []
    assert [v for v in waits if versioning.runs(v)] == []


def parent(context):
    return [
        context.version,
        (yield context.call_sub_orchestrator("child", None, f"{context.instance_id}-kid")),
    ]


def child(context):
    yield context.task_all([])
    return context.version


def _run(engine: Engine) -> None:
    for _ in range(9):
        for instance_id in engine.store.waiting_instances():
            engine.run_episode(instance_id)


def test_given_a_default_version_then_parent_and_child_start_with_it() -> None:
    created = {f.__name__: df.Orchestrator.create(f) for f in (parent, child)}
    engine = Engine(Store(":memory:"), created, [], versioning=Versioning("2.0"))
    engine.start("parent", None, "new")
    engine.start("parent", None, "old", "1.0")
    engine.start("parent", None, "future", "3.0")
    _run(engine)
    assert engine.store.instance("new").output == '["2.0","2.0"]'
    assert engine.store.instance("old").output == '["1.0","2.0"]'
    assert engine.store.instance("future").status == "Pending"


def test_given_no_default_version_when_a_child_is_called_then_it_has_none() -> None:
    created = {f.__name__: df.Orchestrator.create(f) for f in (parent, child)}
    engine = Engine(Store(":memory:"), created, [])
    engine.start("parent", None, "p")
    _run(engine)
    assert engine.store.instance("p").output == "[null,null]"
