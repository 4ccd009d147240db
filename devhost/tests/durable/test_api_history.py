"""The history as the status API shows it: any history, the same rules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from devhost.durable import history as h
from devhost.durable.history import Event, api_history

AT = datetime(2026, 1, 1, tzinfo=UTC)
FIRE_AT = "2026-01-01T00:00:05Z"
KEYS = {
    "ExecutionStarted": "EventType Input Correlation ParentTraceContext ScheduledStartTime Generation"
    " GenerateNewTrace Timestamp FunctionName",
    "TaskScheduled": "EventType Name Input ParentTraceContext Tags Timestamp",
    "TaskCompleted": "EventType Result Timestamp ScheduledTime FunctionName Input",
    "TaskFailed": "EventType Reason Details FailureDetails Timestamp ScheduledTime FunctionName Input",
    "SubOrchestrationInstanceCreated": "EventType Name InstanceId Input ClientSpanId Tags Timestamp",
    "SubOrchestrationInstanceCompleted": "EventType Result Timestamp ScheduledTime FunctionName Input",
    "TimerCreated": "EventType FireAt Timestamp",
    "TimerFired": "EventType FireAt Timestamp",
    "EventRaised": "EventType Name Input ParentTraceContext Timestamp",
    "ExecutionSuspended": "EventType Reason Timestamp",
    "ExecutionCompleted": "EventType OrchestrationStatus Result FailureDetails Timestamp",
}
"""The members of each kind in their order, with inputs and outputs shown, as recorded."""

_WORK = st.sampled_from(["task", "failing", "sub", "timer", "event", "suspended"])


def _history(work: list[tuple[str, bool]]) -> list[Event]:
    """What `work` leaves behind; each with whether it has ended."""
    started = h.execution_started(
        AT,
        instance_id="x",
        execution_id="e",
        name="o",
        version=None,
        input_text='{"a":1}',
        generation=0,
    )
    events = [h.orchestrator_started(AT), started]
    after: list[Event] = []
    for number, (kind, ended) in enumerate(work):
        if kind in ("task", "failing"):
            events.append(h.task_scheduled(AT, number, "a"))
            done = (
                h.task_failed(AT, number, "r", "d")
                if kind == "failing"
                else h.task_completed(AT, number, "1")
            )
            after += [done] * ended
        elif kind == "sub":
            events.append(h.sub_created(AT, number, "s", "", "kid"))
            after += [h.sub_completed(AT, number, '{"b":[]}')] * ended
        elif kind == "timer":
            events.append(h.timer_created(AT, number, FIRE_AT))
            after += [h.timer_fired(AT, number, FIRE_AT)] * ended
        elif kind == "event":
            after.append(h.event_raised(AT, "E", "2"))
        else:
            after.append(h.suspended(AT, "why"))
    marks = [h.orchestrator_completed(AT), h.orchestrator_started(AT)]
    ending = [h.execution_completed(AT, len(work), "Completed", '["out"]'), h.orchestrator_completed(AT)]
    return [*events, *marks, *after, *ending]


def _expected(work: list[tuple[str, bool]]) -> list[str]:
    pending = {"task": "TaskScheduled", "failing": "TaskScheduled", "sub": "SubOrchestrationInstanceCreated"}
    ended = {
        "task": ["TaskCompleted"],
        "failing": ["TaskFailed"],
        "sub": ["SubOrchestrationInstanceCompleted"],
        "timer": ["TimerFired"],
    }
    always = {"event": "EventRaised", "suspended": "ExecutionSuspended"}
    first = [
        "TimerCreated" if kind == "timer" else pending[kind]
        for kind, done in work
        if kind == "timer" or (kind in pending and not done)
    ]
    second = [
        name
        for kind, done in work
        for name in ([always[kind]] if kind in always else ended[kind] if done else [])
    ]
    return ["ExecutionStarted", *first, *second, "ExecutionCompleted"]


@given(st.lists(st.tuples(_WORK, st.booleans()), max_size=12))
def test_given_any_history_when_shown_then_merged_with_recorded_members(
    work: Any,
) -> None:
    shown = api_history(_history(work), show_input=True, show_output=True)
    assert [event["EventType"] for event in shown] == _expected(work)
    for event in shown:
        assert list(event) == KEYS[event["EventType"]].split()
        if "ScheduledTime" in event:
            assert event["ScheduledTime"] == "2026-01-01T00:00:00+00:00"
    assert shown[-1]["Result"] == ["out"]


@given(st.lists(st.tuples(_WORK, st.booleans()), max_size=12))
def test_given_any_history_when_inputs_are_hidden_then_the_rest_stays(work: Any) -> None:
    full = api_history(_history(work), show_input=True, show_output=True)
    bare = api_history(_history(work), show_input=False, show_output=False)
    inputs = ("ExecutionStarted", "TaskCompleted", "TaskFailed", "SubOrchestrationInstanceCompleted")
    for event in full:
        event.pop("Result", None)
        if event["EventType"] in inputs:
            event.pop("Input", None)
    assert bare == full
