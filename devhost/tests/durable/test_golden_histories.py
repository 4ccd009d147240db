"""Histories against those recorded from the real host: kinds, ids and names of events."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest

from devhost.durable.history import _API_NAMES, MESSAGES, Kind
from devhost.replay import ReplayHarness

RECORDED = json.loads((Path(__file__).parent / "golden" / "histories.json").read_text("utf-8"))
Shape = list[Any]


def chain(context):
    context.set_custom_status({"step": 0})
    one = yield context.call_activity("say", "a")
    two = yield context.call_activity("say", {"n": 2, "t": 'é\n"q"'})
    return [one, two, context.get_input(), context.instance_id]


def timers(context):
    for _ in range(3):
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=2))
    return context.current_utc_datetime.isoformat()


def retrying(context):
    retry = df.RetryOptions(1000, 4)
    return (yield context.call_activity_with_retry("flaky", retry, {"key": context.instance_id, "fail": 2}))


def retry_exhausted(context):
    try:
        yield context.call_activity_with_retry(
            "flaky", df.RetryOptions(500, 2), {"key": context.instance_id, "fail": 9}
        )
    except Exception as error:
        return {"caught": str(error)[:400]}


def failing(context):
    yield context.call_activity("flaky", {"key": context.instance_id, "fail": 9})


def fan(context):
    return (yield context.task_all([context.call_activity("say", i) for i in range(5)]))


def race(context):
    deadline = context.create_timer(context.current_utc_datetime + timedelta(seconds=20))
    event = context.wait_for_external_event("approve")
    winner = yield context.task_any([deadline, event])
    if winner == event:
        deadline.cancel()
        return {"approved": event.result}
    return "timeout"


def eternal(context):
    count = context.get_input() or 0
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
    if count < 3:
        context.continue_as_new(count + 1)
        return None
    return {"done": count}


def parent(context):
    ids = [f"{context.instance_id}:{i}" for i in range(3)]
    results = yield context.task_all(
        [context.call_sub_orchestrator("child", {"i": i}, ids[i]) for i in range(3)]
    )
    one = yield context.call_sub_orchestrator("child", {"i": 9})
    try:
        yield context.call_sub_orchestrator_with_retry("failing", df.RetryOptions(500, 2), None)
    except Exception as error:
        return {"results": results, "one": one, "caught": str(error)[:300]}


def child(context):
    said = yield context.call_activity("say", context.get_input()["i"])
    return {"said": said, "id": context.instance_id, "parent": context.parent_instance_id}


ORCHESTRATORS = {
    f.__name__: f
    for f in (chain, timers, retrying, retry_exhausted, failing, fan, race, eternal, parent, child)
}


@pytest.fixture
def harness() -> ReplayHarness:
    seen: dict[str, int] = {}

    def flaky(payload: dict[str, Any]) -> dict[str, int]:
        seen[payload["key"]] = seen.get(payload["key"], 0) + 1
        if seen[payload["key"]] <= payload["fail"]:
            raise ValueError(f"flaky attempt {seen[payload['key']]}")
        return {"attempts": seen[payload["key"]]}

    say = lambda payload: f"said {json.dumps(payload, ensure_ascii=False)}"  # noqa: E731
    return ReplayHarness(ORCHESTRATORS, {"say": say, "flaky": flaky})


def shape(harness: ReplayHarness, instance_id: str) -> list[Shape]:
    events = []
    for event in harness.history(instance_id):
        kind = Kind(event["EventType"])
        if kind not in (Kind.ORCHESTRATOR_STARTED, Kind.ORCHESTRATOR_COMPLETED):
            number = event.get("TaskScheduledId", event.get("TimerId", event["EventId"]))
            events.append([_API_NAMES[kind], number, event.get("Name") or ""])
    return events


def masked(events: list[Shape]) -> list[Shape]:
    """Completions that follow each other came in any order."""
    messages = {_API_NAMES[kind] for kind in MESSAGES}
    groups = itertools.groupby(events, key=lambda event: event[0] in messages)
    return [event for inbound, group in groups for event in (sorted(group) if inbound else group)]


@pytest.mark.parametrize(
    "name", ["chain", "timers", "retrying", "retry_exhausted", "failing", "fan", "eternal", "parent"]
)
def test_given_a_recorded_orchestration_then_the_same_history_here(harness: ReplayHarness, name: str) -> None:
    harness.run()
    harness.start(name, None, "x")
    harness.run()
    assert masked(shape(harness, "x")) == masked(RECORDED[name])


def test_given_a_race_when_the_event_wins_then_the_history_is_as_recorded(harness: ReplayHarness) -> None:
    harness.start("race", None, "x")
    harness.schedule(1, lambda: harness.raise_event("x", "approve", {"by": "me"}))
    harness.run()
    assert shape(harness, "x") == RECORDED["race"]


def test_given_a_race_when_the_timer_wins_then_the_history_is_as_recorded(harness: ReplayHarness) -> None:
    harness.start("race", None, "x")
    harness.run()
    assert shape(harness, "x") == RECORDED["race_timeout"]
    assert harness.status("x").output == "timeout"


def test_given_a_terminated_instance_then_its_history_is_as_recorded(
    harness: ReplayHarness,
) -> None:
    harness.start("race", None, "x")
    harness.schedule(1, lambda: harness.terminate("x", "because"))
    harness.run()
    assert shape(harness, "x") == RECORDED["terminated"]
    assert harness.status("x").runtime_status == "Terminated"


def test_given_an_uncaught_activity_failure_then_its_text_is_as_recorded(
    harness: ReplayHarness,
) -> None:
    harness.start("failing", None, "x")
    harness.run()
    expected = (
        "Orchestrator function 'failing' failed: Activity function 'flaky' failed:"
        "  ValueError: flaky attempt 1 \n {"
    )
    assert harness.status("x").output.startswith(expected)
