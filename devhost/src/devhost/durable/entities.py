"""Entities: the messages they get and send, and one batch of operations.

No I/O besides the entity's own code. An entity `counter` with the key `a` lives as the instance `@counter@a`,
whose input is its scheduler's state. Source: the recorded host; TaskEntityShim and MessageSorter of the
Durable extension.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from devhost.durable import history as h
from devhost.durable.history import Event
from devhost.durable.model import Instance
from devhost.timestamps import parse_stamp, stamp

EntityCall = Callable[[str], str]
"""Takes the batch as JSON text, gives results and state as JSON text."""

_TYPE = "Microsoft.Azure.WebJobs.Extensions.DurableTask.{}, Microsoft.Azure.WebJobs.Extensions.DurableTask"
_FIRST = "0001-01-01T00:00:00"
_REORDER_WINDOW = timedelta(minutes=30)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def entity_id(name: str, key: str) -> str:
    return f"@{name.lower()}@{key}"


def parse_entity_id(instance_id: str) -> tuple[str, str]:
    """Name and key."""
    _, name, key = instance_id.split("@", 2)
    return name, key


def is_entity(instance: Instance) -> bool:
    return instance.name == instance.id and instance.id.startswith("@") and instance.id.count("@") > 1


def message_id(execution_id: str, number: int) -> str:
    """The same in every replay: the answer comes as an event of this name."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{execution_id}:{number}"))


def request(
    *,
    operation: str,
    input_text: str | None,
    message: str,
    signal: bool,
    sender: dict[str, Any] | None = None,
) -> str:
    """The JSON text of an operation's message. `input_text` is JSON text, and is encoded once more."""
    body: dict[str, Any] = {"$type": _TYPE.format("RequestMessage"), "op": operation}
    if signal:
        body["signal"] = True
    if input_text is not None:
        body["input"] = input_text
    return compact({**body, "id": message, **(sender or {})})


class Clock:
    """Timestamps of an orchestration's messages: later than the one before to the same entity."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def next(self, target: str, now: str) -> dict[str, str]:
        before = self._last.get(target, _FIRST)
        at = now
        if before != _FIRST and parse_stamp(now) <= parse_stamp(before):
            # One tick (100 ns) more; .NET then writes no time zone.
            moment = parse_stamp(before)
            ticks = int((before.rstrip("Z").partition(".")[2] + "0000000")[:7]) + 1
            at = f"{moment:%Y-%m-%dT%H:%M:%S}.{ticks:07d}"
        self._last[target] = at
        return {"Timestamp": at, "Predecessor": before, "requestTime": now.rstrip("Z") + "+00:00"}


@dataclass(frozen=True)
class Answer:
    """A result for the orchestration that called."""

    instance_id: str
    execution_id: str
    event: Event


@dataclass(frozen=True)
class EntityOutcome:
    """What one batch changes. `state` is the scheduler's, as JSON text; None when the entity is gone."""

    state: str | None
    answers: list[Answer]
    updated: datetime


def state_of(instance: Instance) -> tuple[bool, str | None]:
    """Whether the entity exists, and its state as JSON text."""
    state = json.loads(instance.input) if instance.input else {}
    return bool(state.get("exists")), state.get("state")


def run_batch(instance: Instance, events: Sequence[Event], call: EntityCall, now: datetime) -> EntityOutcome:
    """Run the operations of `events` in one call of the entity's function."""
    requests = [json.loads(event["Input"]) for event in events]
    exists, state = state_of(instance)
    name, key = parse_entity_id(instance.id)
    batch = [
        {
            "name": r["op"],
            "input": r.get("input"),
            "isSignal": bool(r.get("signal")),
            "id": r["id"],
        }
        for r in requests
    ]
    context = {"self": {"name": name, "key": key}, "exists": exists, "state": state, "batch": batch}
    result = json.loads(call(compact(context)))
    answers = [
        _answer(r, outcome, now)
        for r, outcome in zip(requests, result["results"], strict=True)
        if not r.get("signal") and "parent" in r
    ]
    if not result["entityExists"]:
        return EntityOutcome(None, answers, now)
    sorter = (json.loads(instance.input) if instance.input else {}).get("sorter", {})
    kept = {"exists": True, "state": result["entityState"], "sorter": _sorted_in(sorter, requests)}
    return EntityOutcome(compact(kept), answers, now)


def _answer(asked: dict[str, Any], outcome: dict[str, Any], now: datetime) -> Answer:
    body = {"$type": _TYPE.format("ResponseMessage"), "result": outcome["result"]}
    if outcome["isError"]:
        body["exceptionType"] = "Error"
    return Answer(asked["parent"], asked["parentExecution"], h.event_raised(now, asked["id"], compact(body)))


def _sorted_in(sorter: dict[str, Any], requests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    for asked in requests:
        if "Timestamp" not in asked:
            continue
        received = sorter.setdefault("ReceivedFromInstance", {})
        received[asked["parent"]] = {"Last": asked["Timestamp"], "ExecutionId": asked["parentExecution"]}
        horizon = parse_stamp(asked["Timestamp"]) - _REORDER_WINDOW
        sorter.setdefault("ReceiveHorizon", stamp(horizon))
    return sorter
