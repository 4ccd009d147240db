"""Entities: calls and signals from orchestrators and clients, their state, their part of the API."""

from __future__ import annotations

import json
from typing import Any

import azure.durable_functions as df
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devhost.durable.api import ApiResponse, DurableApi
from devhost.durable.engine import Engine
from devhost.durable.entities import Clock
from devhost.durable.history import Kind
from devhost.durable.store import Store
from devhost.timestamps import parse_stamp

JSON = {"Content-Type": "application/json"}


def counter(context):
    state = context.get_state(lambda: 0)
    match context.operation_name:
        case "add":
            state += context.get_input()
        case "fail":
            raise ValueError("entity boom")
        case "delete":
            context.destruct_on_exit()
            return
    context.set_state(state)
    context.set_result(state)


def user(context):
    entity = df.EntityId("Counter", "a")
    first = yield context.call_entity(entity, "add", 2)
    context.signal_entity(entity, "add", 3)
    try:
        yield context.call_entity(entity, "fail")
    except Exception as error:
        failure = str(error)
    return [first, failure, (yield context.call_entity(entity, "get"))]


def lost(context):
    yield context.call_entity(df.EntityId("nobody", "a"), "get")


class Rig:
    def __init__(self) -> None:
        created = {f.__name__: df.Orchestrator.create(f) for f in (user, lost)}
        self.engine = Engine(Store(":memory:"), created, [], entities={"counter": df.Entity.create(counter)})
        self.api = DurableApi(self.engine, "probe")

    def run(self) -> None:
        while waiting := self.engine.store.waiting_instances():
            for instance_id in waiting:
                self.engine.run_episode(instance_id)

    def call(self, method: str, path: str, body: str = "", headers: Any = None, **query: str) -> ApiResponse:
        answer = self.api.handle(method, path, query, headers or {}, body.encode(), "http://127.0.0.1:7071")
        self.run()
        return answer


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_given_calls_and_signals_when_run_then_they_are_done_in_order_and_errors_come_back(rig: Rig) -> None:
    rig.engine.start("user", None, "u")
    rig.run()
    assert json.loads(rig.engine.store.instance("u").output) == [2, "entity boom", 5]
    sent = [e for e in rig.engine.store.history("u") if e["EventType"] == Kind.EVENT_SENT]
    assert [(e["EventId"], e["InstanceId"], e["Name"]) for e in sent] == [
        (number, "@counter@a", "op") for number in range(4)
    ]
    requests = [json.loads(e["Input"]) for e in sent]
    assert [r["op"] for r in requests] == ["add", "add", "fail", "get"]
    assert [r.get("signal") for r in requests] == [None, True, None, None]
    assert requests[0]["input"] == '"2"'
    raised = {e["Name"] for e in rig.engine.store.history("u") if e["EventType"] == Kind.EVENT_RAISED}
    assert raised == {r["id"] for r in requests if "signal" not in r}


def test_given_an_entity_when_listed_as_instance_then_it_runs_for_ever_with_its_state(rig: Rig) -> None:
    rig.engine.start("user", None, "u")
    rig.run()
    shown = json.loads(rig.call("GET", "instances/@counter@a").body)
    assert (shown["name"], shown["runtimeStatus"], shown["customStatus"]) == (
        "@counter@a",
        "Running",
        {"entityExists": True},
    )
    assert (shown["input"]["state"], list(shown["input"]["sorter"])) == (
        "5",
        ["ReceivedFromInstance", "ReceiveHorizon"],
    )


def test_given_an_unknown_entity_when_called_then_the_orchestration_fails_and_the_api_refuses(
    rig: Rig,
) -> None:
    rig.engine.start("lost", None, "l")
    rig.run()
    text = (
        "The function 'nobody' doesn't exist, is disabled, or is not an entity function."
        " Additional info: The following are the known entity functions: 'counter'."
    )
    assert rig.engine.store.instance("l").output == f"Orchestrator function 'lost' failed: {text}"
    refused = rig.call("POST", "entities/nobody/a", op="add")
    assert (refused.status, json.loads(refused.body)) == (400, {"Message": text})


def test_given_the_api_when_operations_are_sent_then_states_and_lists_are_as_recorded(rig: Rig) -> None:
    assert rig.call("GET", "entities/counter/b").status == 404
    # The SDK's client sends the value as JSON text in a JSON string; bare JSON fails inside the entity.
    assert rig.call("POST", "entities/COUNTER/b", '"7"', JSON, op="add").status == 202
    assert rig.call("POST", "entities/counter/b", "1", JSON, op="add").status == 202
    state = rig.call("GET", "entities/counter/b")
    assert (state.status, state.body) == (200, b"7")
    for path in ("entities", "entities/counter"):
        (one,) = json.loads(rig.call("GET", path).body)
        assert list(one) == ["entityId", "lastOperationTime", "state"]
        assert (one["entityId"], one["state"]) == ({"name": "counter", "key": "b"}, None)
    assert json.loads(rig.call("GET", "entities", fetchState="true").body)[0]["state"] == 7
    assert json.loads(rig.call("GET", "entities/other").body) == []
    assert rig.call("POST", "entities/counter/b", "{bad", JSON, op="add").status == 400
    assert rig.call("DELETE", "entities/counter/b").status == 202
    assert rig.call("GET", "entities/counter/b").status == 404
    assert json.loads(rig.call("GET", "instances").body) == []


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=12))
def test_given_messages_to_entities_when_stamped_then_each_is_later_than_the_one_before(sent) -> None:
    clock = Clock()
    last: dict[str, str] = {}
    now = 0
    for target, step in sent:
        now += step
        made = clock.next(target, f"2026-01-01T00:00:{now:02d}.5Z")
        assert made["Predecessor"] == last.get(target, "0001-01-01T00:00:00")
        if target in last:
            assert made["Timestamp"].rstrip("Z").ljust(27, "0") > last[target].rstrip("Z").ljust(27, "0")
        parse_stamp(made["Timestamp"])
        last[target] = made["Timestamp"]
