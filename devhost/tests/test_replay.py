"""The replay harness: virtual time, re-entrant activities, and orchestrators that are not deterministic."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from azure.durable_functions import EntityId

from devhost.replay import AlreadyExistsError, ReplayError, ReplayHarness

START = datetime(2026, 3, 1, tzinfo=UTC)


def waits(context):
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=2))
    return context.current_utc_datetime.isoformat()


def slow(context):
    return (yield context.call_activity("slow", {"n": 1}))


def approval(context):
    return (yield context.wait_for_external_event("go"))


def test_given_a_timer_when_run_then_virtual_time_passes() -> None:
    harness = ReplayHarness({"waits": waits}, {}, start=START)
    instance_id = harness.start("waits")
    harness.run(until=START + timedelta(hours=1))
    assert harness.now == START + timedelta(hours=1)
    assert harness.timers(instance_id)[0] - START < timedelta(hours=2, seconds=1)
    harness.run()
    assert harness.status(instance_id).runtime_status == "Completed"
    assert harness.now >= START + timedelta(hours=2)


def test_given_early_timers_when_run_then_they_fire_before_they_are_due() -> None:
    harness = ReplayHarness({"waits": waits}, {}, start=START, early_timers=0.9)
    instance_id = harness.start("waits")
    harness.run()
    assert harness.status(instance_id).output < (START + timedelta(hours=2)).isoformat()


def test_given_an_activity_that_ends_later_then_its_result_comes_then() -> None:
    harness = ReplayHarness({"slow": slow}, {"slow": lambda given: harness.after(60, given)}, start=START)
    instance_id = harness.start("slow")
    harness.run()
    assert harness.status(instance_id).output == {"n": 1}
    assert harness.now == START + timedelta(seconds=60)
    assert harness.activity_calls == [(START, "slow", {"n": 1})]


def test_given_an_activity_that_starts_and_signals_then_both_arrive() -> None:
    def activity(_: object) -> str:
        with pytest.raises(AlreadyExistsError):
            harness.start("approval", None, "a")
        harness.raise_event("a", "go", {"by": "me"})
        return harness.start("waits", None, "w")

    harness = ReplayHarness({"slow": slow, "approval": approval, "waits": waits}, {"slow": activity})
    harness.start("approval", None, "a")
    harness.start("slow", {"k": 1}, "s")
    harness.run()
    assert [harness.status(i).runtime_status for i in ("a", "s", "w")] == ["Completed"] * 3
    assert harness.status("a").output == '{"by": "me"}'
    assert harness.status("s").input == {"k": 1}


def test_given_a_result_that_is_no_json_when_run_then_the_activity_fails() -> None:
    harness = ReplayHarness({"slow": slow}, {"slow": lambda _: b"abc"})
    instance_id = harness.start("slow")
    harness.run()
    assert "activity trigger output must be json serializable (b'abc')" in harness.status(instance_id).output


def test_given_an_orchestrator_with_its_own_counter_then_it_is_named() -> None:
    numbers = itertools.count()

    def counting(context):
        yield context.call_activity("slow", next(numbers))

    harness = ReplayHarness({"counting": counting}, {"slow": lambda _: None})
    harness.start("counting")
    with pytest.raises(AssertionError, match="'counting' is not deterministic"):
        harness.run()


def test_given_an_unknown_activity_when_run_then_it_is_named_at_once() -> None:
    harness = ReplayHarness({"slow": slow}, {})
    harness.start("slow")
    with pytest.raises(AssertionError, match="no activity 'slow'"):
        harness.run()


def test_given_an_unknown_orchestrator_when_started_then_named_at_once() -> None:
    with pytest.raises(AssertionError, match="typo"):
        ReplayHarness({}, {}).start("typo")


def test_given_an_event_for_later_when_run_then_it_comes_then() -> None:
    harness = ReplayHarness({"approval": approval}, {}, start=START)
    instance_id = harness.start("approval")
    harness.raise_event(instance_id, "go", {"by": "me"}, at=90)
    harness.run(until=START + timedelta(seconds=89))
    assert harness.status(instance_id).runtime_status == "Running"
    harness.run()
    assert harness.now == START + timedelta(seconds=90)
    assert harness.status(instance_id).output == '{"by": "me"}'


def test_given_a_terminated_instance_then_late_results_are_dropped() -> None:
    harness = ReplayHarness({"slow": slow}, {"slow": lambda given: harness.after(60, given)}, start=START)
    instance_id = harness.start("slow")
    harness.schedule(30, lambda: harness.terminate(instance_id, "enough"))
    harness.run()
    status = harness.status(instance_id)
    assert (status.runtime_status, status.output) == ("Terminated", "enough")
    assert harness.now == START + timedelta(seconds=60)


def test_given_a_suspended_instance_when_resumed_then_events_count() -> None:
    harness = ReplayHarness({"approval": approval}, {}, start=START)
    instance_id = harness.start("approval")
    harness.run()
    harness.suspend(instance_id, "lunch")
    harness.raise_event(instance_id, "go", 1, at=10)
    harness.run()
    assert harness.status(instance_id).runtime_status == "Suspended"
    harness.resume(instance_id, "back")
    harness.run()
    assert harness.status(instance_id).output == "1"


def test_given_an_activity_that_fails_later_then_the_failure_comes_then() -> None:
    harness = ReplayHarness(
        {"slow": slow}, {"slow": lambda _: harness.after(90, ValueError("late"))}, start=START
    )
    instance_id = harness.start("slow")
    harness.run(until=START + timedelta(seconds=89))
    assert harness.status(instance_id).runtime_status == "Running"
    harness.run()
    assert "Activity function 'slow' failed:  ValueError: late" in harness.status(instance_id).output


def test_given_endless_work_without_an_end_then_the_harness_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def endless(context):
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
        context.continue_as_new(None)

    monkeypatch.setattr("devhost.replay._MOST_EPISODES", 200)
    harness = ReplayHarness({"endless": endless}, {})
    harness.start("endless")
    with pytest.raises(ReplayError, match="give run"):
        harness.run()


def test_given_run_inside_an_activity_when_called_then_the_harness_says_so() -> None:
    harness = ReplayHarness({"slow": slow}, {"slow": lambda _: harness.run()})
    harness.start("slow")
    with pytest.raises(ReplayError, match="from inside an activity"):
        harness.run()


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("call_http", lambda context: context.call_http("GET", "http://127.0.0.1/")),
        ("call_entity", lambda context: context.call_entity(EntityId("counter", "a"), "get")),
    ],
)
def test_given_a_call_that_devhost_does_not_run_when_made_then_it_is_named(name, ask) -> None:
    def asks(context):
        return (yield ask(context))

    harness = ReplayHarness({"asks": asks}, {})
    harness.start("asks", instance_id="a")
    with pytest.raises(ReplayError, match=f"instance 'a' failed: devhost does not run {name}"):
        harness.run()
    assert harness.status("a").runtime_status == "Failed"
    assert harness.status("a").output == f"Orchestrator function 'asks' failed: devhost does not run {name}"
