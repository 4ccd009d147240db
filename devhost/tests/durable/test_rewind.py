"""Rewinding a failed orchestration: what stays in its history, and that it goes on."""

from __future__ import annotations

import azure.durable_functions as df

from devhost.durable.engine import Engine
from devhost.durable.history import Kind
from devhost.durable.model import ActivityCall
from devhost.durable.store import Store


def parent(context):
    first = yield context.call_activity("work", "first")
    second = yield context.call_sub_orchestrator("child", None, "kid")
    return [first, second]


def child(context):
    return (yield context.call_activity("work", "second"))


class Rig:
    """An engine whose activities are run by hand; `fails` names inputs that fail."""

    def __init__(self) -> None:
        created = {f.__name__: df.Orchestrator.create(f) for f in (parent, child)}
        self.engine = Engine(Store(":memory:"), created, ["work"])
        self.fails: set[str] = set()

    def run(self) -> None:
        store = self.engine.store
        while True:
            waiting = store.waiting_instances()
            calls = store.activities()
            for instance_id in waiting:
                self.engine.run_episode(instance_id)
            for call in calls:
                self._work(call)
            if not waiting and not calls:
                return

    def _work(self, call: ActivityCall) -> None:
        if (call.input or "").strip('"') in self.fails:
            self.engine.activity_failed(call, "ValueError", "no", "")
        else:
            self.engine.activity_succeeded(call, call.input or "null")

    def kinds(self, instance_id: str) -> list[Kind]:
        marks = (Kind.ORCHESTRATOR_STARTED, Kind.ORCHESTRATOR_COMPLETED)
        kinds = [Kind(e["EventType"]) for e in self.engine.store.history(instance_id)]
        return [kind for kind in kinds if kind not in marks]


def test_given_a_failed_activity_when_rewound_then_it_alone_runs_again_under_its_id() -> None:
    rig = Rig()
    rig.fails = {"second"}
    rig.engine.start("child", None, "kid")
    rig.run()
    assert rig.engine.store.instance("kid").status == "Failed"
    rig.fails = set()

    rig.engine.rewind("kid", "try")

    assert rig.engine.store.instance("kid").status == "Pending"
    rig.run()
    assert rig.engine.store.instance("kid").status == "Completed"
    assert rig.kinds("kid") == [
        Kind.EXECUTION_STARTED,
        *[Kind.GENERIC] * 4,
        Kind.TASK_SCHEDULED,
        Kind.TASK_COMPLETED,
        Kind.EXECUTION_COMPLETED,
    ]
    scheduled = [e["EventId"] for e in rig.engine.store.history("kid") if e["EventType"] == 4]
    generic = [
        (e["EventId"], e["Data"], e["IsPlayed"]) for e in rig.engine.store.history("kid") if "Data" in e
    ]
    assert scheduled == [0]
    assert generic == [(0, None, False), (-1, None, True), (1, None, False), (-1, "try", True)]


def test_given_a_failed_child_when_its_parent_is_rewound_then_the_child_goes_on_and_the_parent_ends() -> None:
    rig = Rig()
    rig.fails = {"second"}
    rig.engine.start("parent", None, "p")
    rig.run()
    assert rig.engine.store.instance("p").status == "Failed"
    rig.fails = set()

    rig.engine.rewind("p", "try")
    rig.run()

    assert rig.engine.store.instance("p").output == '["first","second"]'
    # Only the child was woken: the parent's result comes by the task it already had.
    assert [e["Data"] for e in rig.engine.store.history("p") if "Data" in e] == [None, None]
    assert [e["Data"] for e in rig.engine.store.history("kid") if "Data" in e] == [None, None, None, "try"]
