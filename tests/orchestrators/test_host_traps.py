"""What the recordings of the real host warn of, met by the orchestrators in virtual time."""

import importlib
import inspect
import json
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_app.calls import reason, step_failed
from mobexport import durable_names as names
from mobexport.errors import Rejected
from mobexport.http_calls import seconds_of
from mobexport.pipeline.jobs.poll_policy import PollPolicy, PollProgress, delay
from mobexport.pipeline.registry.states import JobState, State
from mobexport.retry_policy import STEP, UNTIL_DONE, next_delay
from mobexport.settings import Settings
from mobexport.wire import AttemptRef, Failure
from orchestrators.deliver_notification import DELIVERY

# `maximumShortTimerDuration`: a longer timer becomes several, which a race cannot cancel as one.
SHORT_TIMER = timedelta(days=6)
REF = AttemptRef("e", 1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def longest(name: str) -> float:
    """The upper bound of a numeric setting."""
    return next(one.le for one in Settings.model_fields[name].metadata if hasattr(one, "le"))


@given(st.one_of(st.text(max_size=30), st.floats().map(str), st.integers().map(str), st.datetimes().map(str)))
def test_given_any_retry_after_then_seconds_within_an_hour_or_nothing(text: str) -> None:
    found = seconds_of(text)
    assert found is None or (math.isfinite(found) and 0 <= found <= 3600)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), ("-5", 0), ("1e9", 3600), ("inf", 3600), ("nan", None), ("soon", None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 21 Oct 9999 07:28:00 GMT", 3600),
     ("Wed, 99 Oct 2015 07:28:00 GMT", None)],
)  # fmt: skip
def test_given_a_retry_after_when_read_then_asseconds_of(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


def test_longest_waits_are_all_short_timers() -> None:
    most = longest("poll_max_seconds")
    policy = PollPolicy(first=most, most=most, queue_deadline=9e5, run_deadline=9e5, total_deadline=9e5)
    progress = PollProgress(99, 0, START, JobState.QUEUED, START)
    throttled = Failure("Throttled", "remote", "x", retryable=True, retry_after=seconds_of("1e99"))
    waits = [delay(policy, progress, token, seconds_of("1e99"), START) for token in "abcdefgh"]
    waits += [next_delay(one, 9, "t", throttled) or 0 for one in (STEP, UNTIL_DONE, DELIVERY)]
    waits += [longest("trigger_grace_seconds") * 1.2]
    assert max(waits) >= 3600
    assert timedelta(seconds=max(waits)) < SHORT_TIMER


@pytest.mark.parametrize("event", ["processed", "cancel"])
def test_given_an_event_that_wins_then_the_run_does_not_await_the_timer(make_pipeline, event: str) -> None:
    pipeline = make_pipeline()
    began = pipeline.h.now
    if event == "cancel":
        pipeline.states = ["Queued"]
        pipeline.policy = PollPolicy(
            first=3000, most=3000, queue_deadline=9999, run_deadline=9999, total_deadline=9999
        )
        pipeline.h.schedule(5, pipeline.cancel)
    run = pipeline.start()
    pipeline.h.run()
    assert pipeline.h.status(run).runtime_status == "Completed"
    # 60 seconds of grace for the trigger, 3,000 for the next poll: none of them was sat out.
    assert pipeline.h.status(run).updated - began < timedelta(seconds=40)


# As recorded: the host's reason, then its details; a child that was terminated; an exception without a text.
FAILED = [
    (
        'Activity function \'flaky\' failed:  ValueError: flaky attempt 1 \n {"$type":"System.Exception"}',
        "Activity function 'flaky' failed:  ValueError: flaky attempt 1 ",
    ),
    ("kid2 \n None", "kid2 "),
    ("Activity function 'k' failed:  KeyError: ", "Activity function 'k' failed:  KeyError: "),
    ("", "no reason given"),
    ("\n", "no reason given"),
    ("x" * 90_000, "x" * 500),
]


@pytest.mark.parametrize(("text", "first"), FAILED, ids=range(len(FAILED)))
def test_given_a_failure_as_the_host_words_it_then_only_its_first_line(text: str, first: str) -> None:
    assert reason(Exception(text)) == first
    assert step_failed(Exception(text)).failure.retryable


def test_given_a_suspended_instance_then_it_goes_on_alone_when_resumed(
    memory_app,
) -> None:
    app = memory_app()
    process = names.process_instance(app.row.ref)
    with app.in_virtual_time():
        app.blob_event()
        app.h.suspend(process, "an operator looks")
        app.start()
        app.h.run(until=app.h.now + timedelta(minutes=5))
        assert app.h.status(process).runtime_status == "Suspended"
        assert app.registry.get(app.row.id).state is State.PROCESSING
        app.h.resume(process, "done")
        app.h.run()
    assert app.registry.get(app.row.id).state is State.SUCCEEDED
    assert len(app.app.called(names.BEGIN_PROCESSING)) == 1


def test_given_large_texts_from_outside_then_nothing_large_on_the_wire(memory_app) -> None:
    app = memory_app()
    app.api.failures = [Rejected("x" * 100_000)]
    app.answers = [Rejected("y" * 100_000)] * 9
    with app.in_virtual_time():
        app.start()
        app.h.run()
    assert app.registry.get(app.row.id).state is State.FAILED
    sizes = {
        f"{instance} {event['EventType']}": len(json.dumps(event))
        for instance in app.h.instances()
        for event in app.h.history(instance)
    }
    # Beyond 45 KB the host moves a text to a blob of its own, read again in every episode.
    assert max(sizes.values()) < 16_000, max(sizes, key=sizes.__getitem__)


def test_given_the_orchestrators_when_looked_at_then_all_are_generators() -> None:
    for name in names.ORCHESTRATORS:
        module = importlib.import_module(f"orchestrators.{name}")
        assert inspect.isgeneratorfunction(getattr(module, name)), name
