"""Events of an orchestration's history: numbers, members in the host's order, their form on the API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any

from devhost.timestamps import parse_stamp, stamp

Event = dict[str, Any]


class Kind(IntEnum):
    """Kinds of events, by their numbers on the wire."""

    EXECUTION_STARTED = 0
    EXECUTION_COMPLETED = 1
    EXECUTION_TERMINATED = 3
    TASK_SCHEDULED = 4
    TASK_COMPLETED = 5
    TASK_FAILED = 6
    SUB_CREATED = 7
    SUB_COMPLETED = 8
    SUB_FAILED = 9
    TIMER_CREATED = 10
    TIMER_FIRED = 11
    ORCHESTRATOR_STARTED = 12
    ORCHESTRATOR_COMPLETED = 13
    EVENT_RAISED = 15
    SUSPENDED = 19
    RESUMED = 20


MESSAGES = frozenset(
    {
        Kind.EXECUTION_STARTED,
        Kind.EXECUTION_TERMINATED,
        Kind.TASK_COMPLETED,
        Kind.TASK_FAILED,
        Kind.SUB_COMPLETED,
        Kind.SUB_FAILED,
        Kind.TIMER_FIRED,
        Kind.EVENT_RAISED,
        Kind.SUSPENDED,
        Kind.RESUMED,
    }
)
"""Events from outside; `IsPlayed` is false only in the episode that delivers them."""


def _tail(at: datetime, event_id: int = -1) -> Event:
    return {"EventId": event_id, "IsPlayed": False, "Timestamp": stamp(at)}


def execution_started(
    at: datetime,
    *,
    instance_id: str,
    execution_id: str,
    name: str,
    version: str | None,
    input_text: str | None,
    generation: int | None,
    parent: Event | None = None,
) -> Event:
    return {
        "OrchestrationInstance": {"InstanceId": instance_id, "ExecutionId": execution_id},
        "EventType": Kind.EXECUTION_STARTED.value,
        "ParentInstance": parent,
        "Name": name,
        "Version": version,
        "Input": input_text,
        "Tags": None,
        "Correlation": None,
        "ParentTraceContext": None,
        "ScheduledStartTime": None,
        "Generation": generation,
        "GenerateNewTrace": False,
        **_tail(at),
    }


def parent_instance(
    name: str, version: str | None, instance_id: str, execution_id: str, task_id: int
) -> Event:
    return {
        "Name": name,
        "OrchestrationInstance": {"InstanceId": instance_id, "ExecutionId": execution_id},
        "TaskScheduleId": task_id,
        "Version": version,
    }


def execution_completed(at: datetime, event_id: int, status: str, result: str | None) -> Event:
    return {
        "OrchestrationStatus": status,
        "EventType": Kind.EXECUTION_COMPLETED.value,
        "Result": result,
        "FailureDetails": None,
        **_tail(at, event_id),
    }


def execution_terminated(at: datetime, reason: str | None) -> Event:
    return {"EventType": Kind.EXECUTION_TERMINATED.value, "Input": reason, **_tail(at)}


def task_scheduled(at: datetime, event_id: int, name: str) -> Event:
    return {
        "EventType": Kind.TASK_SCHEDULED.value,
        "Name": name,
        "Version": "",
        "Input": None,
        "ParentTraceContext": None,
        "Tags": None,
        **_tail(at, event_id),
    }


def task_completed(at: datetime, task_id: int, result: str) -> Event:
    """`result` is JSON text; None counts as no result."""
    shown = None if result == "null" else result
    return {"EventType": Kind.TASK_COMPLETED.value, "TaskScheduledId": task_id, "Result": shown, **_tail(at)}


def task_failed(at: datetime, task_id: int, reason: str | None, details: str | None) -> Event:
    return {
        "EventType": Kind.TASK_FAILED.value,
        "TaskScheduledId": task_id,
        "Reason": reason,
        "Details": details,
        "FailureDetails": None,
        **_tail(at),
    }


def sub_created(at: datetime, event_id: int, name: str, version: str | None, instance_id: str) -> Event:
    return {
        "EventType": Kind.SUB_CREATED.value,
        "Name": name,
        "Version": version,
        "InstanceId": instance_id,
        "Input": None,
        "ClientSpanId": None,
        "Tags": None,
        **_tail(at, event_id),
    }


def sub_completed(at: datetime, task_id: int, result: str | None) -> Event:
    return {"EventType": Kind.SUB_COMPLETED.value, "TaskScheduledId": task_id, "Result": result, **_tail(at)}


def sub_failed(at: datetime, task_id: int, reason: str | None, details: str | None) -> Event:
    return {**task_failed(at, task_id, reason, details), "EventType": Kind.SUB_FAILED.value}


def timer_created(at: datetime, event_id: int, fire_at: str) -> Event:
    return {"EventType": Kind.TIMER_CREATED.value, "FireAt": fire_at, **_tail(at, event_id)}


def timer_fired(created_at: datetime, timer_id: int, fire_at: str) -> Event:
    """The timestamp is that of the timer's creation, as on the real host; only FireAt tells when."""
    return {"EventType": Kind.TIMER_FIRED.value, "TimerId": timer_id, "FireAt": fire_at, **_tail(created_at)}


def event_raised(at: datetime, name: str, input_text: str) -> Event:
    return {
        "EventType": Kind.EVENT_RAISED.value,
        "Name": name,
        "Input": input_text,
        "ParentTraceContext": None,
        **_tail(at),
    }


def suspended(at: datetime, reason: str | None) -> Event:
    return {"EventType": Kind.SUSPENDED.value, "Reason": reason, **_tail(at)}


def resumed(at: datetime, reason: str | None) -> Event:
    return {"EventType": Kind.RESUMED.value, "Reason": reason, **_tail(at)}


def orchestrator_started(at: datetime) -> Event:
    return {"EventType": Kind.ORCHESTRATOR_STARTED.value, **_tail(at)}


def orchestrator_completed(at: datetime) -> Event:
    return {"EventType": Kind.ORCHESTRATOR_COMPLETED.value, **_tail(at)}


def played(events: Iterable[Event]) -> list[Event]:
    """The events as later episodes see them: messages are marked as played, everything else never is."""
    return [{**e, "IsPlayed": True} if e["EventType"] in MESSAGES else e for e in events]


_API_NAMES = {
    Kind.EXECUTION_STARTED: "ExecutionStarted",
    Kind.EXECUTION_COMPLETED: "ExecutionCompleted",
    Kind.EXECUTION_TERMINATED: "ExecutionTerminated",
    Kind.TASK_SCHEDULED: "TaskScheduled",
    Kind.TASK_COMPLETED: "TaskCompleted",
    Kind.TASK_FAILED: "TaskFailed",
    Kind.SUB_CREATED: "SubOrchestrationInstanceCreated",
    Kind.SUB_COMPLETED: "SubOrchestrationInstanceCompleted",
    Kind.SUB_FAILED: "SubOrchestrationInstanceFailed",
    Kind.TIMER_CREATED: "TimerCreated",
    Kind.TIMER_FIRED: "TimerFired",
    Kind.EVENT_RAISED: "EventRaised",
    Kind.SUSPENDED: "ExecutionSuspended",
    Kind.RESUMED: "ExecutionResumed",
}
_ENDS = {Kind.TASK_COMPLETED, Kind.TASK_FAILED, Kind.SUB_COMPLETED, Kind.SUB_FAILED}
_BEGINS = {Kind.TASK_SCHEDULED, Kind.SUB_CREATED}
_HIDDEN = {"EventId", "IsPlayed", "OrchestrationInstance", "TaskScheduledId", "TimerId"}


def parse_or_text(text: str | None) -> Any:
    """Parsed JSON, or the text itself if it is none: the form of inputs and outputs on the API."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def api_history(events: Sequence[Event], *, show_input: bool, show_output: bool) -> list[Event]:
    """`historyEvents` of the status API: no batch marks, scheduling events merged into their completions."""
    begun = {e["EventId"]: e for e in events if e["EventType"] in _BEGINS}
    ended = {e["TaskScheduledId"] for e in events if e["EventType"] in _ENDS}
    shown = []
    for event in events:
        kind = event["EventType"]
        if kind in (Kind.ORCHESTRATOR_STARTED, Kind.ORCHESTRATOR_COMPLETED):
            continue
        if kind in _BEGINS and event["EventId"] in ended:
            continue
        view = {"EventType": _API_NAMES[Kind(kind)]}
        view.update({k: v for k, v in event.items() if k not in _HIDDEN and k != "EventType"})
        shown.append(_shape(view, event, begun, show_input=show_input, show_output=show_output))
    return shown


def _shape(
    view: Event, event: Event, begun: dict[int, Event], *, show_input: bool, show_output: bool
) -> Event:
    kind = event["EventType"]
    if kind == Kind.EXECUTION_STARTED:
        for key in ("ParentInstance", "Name", "Version", "Tags"):
            view.pop(key, None)
        if not show_input:
            view.pop("Input", None)
        view["FunctionName"] = event["Name"]
    elif kind in _ENDS:
        start = begun.get(event["TaskScheduledId"])
        if start is not None:
            at = parse_stamp(start["Timestamp"])
            view["ScheduledTime"] = stamp(at)[:-1] + "+00:00"
            view["FunctionName"] = start["Name"]
            if show_input:
                view["Input"] = None
    elif kind in _BEGINS:
        view.pop("Version", None)
    if "Result" in view:
        if show_output:
            view["Result"] = parse_or_text(view["Result"])
        else:
            view.pop("Result")
    return view
