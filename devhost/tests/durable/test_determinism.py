"""The determinism check: what it finds, what it must not find, and that replays ask the same questions."""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import azure.durable_functions as df
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devhost.durable.determinism import (
    EVENTS,
    PREFIXES,
    DeterminismCheck,
    Divergence,
    Prefixes,
    boundaries,
    describe,
    sample,
)
from devhost.durable.determinism_watch import DeterminismWatch
from devhost.durable.engine import Engine
from devhost.durable.sdk import open_tasks
from devhost.durable.store import Store
from devhost.replay import ReplayError, ReplayHarness

numbers = itertools.count()


def clock(context):
    yield context.call_activity("say", datetime.now(UTC).isoformat())


def dice(context):
    yield context.call_activity("say", "first")
    yield context.call_activity("say", random.random())


def counter(context):
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=next(numbers)))


def environment(context):
    os.environ["DETERMINISM_TEST"] = str(int(os.environ.get("DETERMINISM_TEST", "0")) + 1)
    yield context.wait_for_external_event(os.environ["DETERMINISM_TEST"])


def replaying(context):
    if not context.is_replaying:
        yield context.call_activity("say", "only once")
    yield context.call_activity("say", "always")


def status(context):
    context.set_custom_status(next(numbers) + 1)
    yield context.call_activity("say", "x")


def output(context):
    yield context.call_activity("say", "x")
    return next(numbers)


def failure(context):
    yield context.call_activity("say", "x")
    raise ValueError(f"number {next(numbers)}")


def identity(context):
    yield context.call_activity("say", str(context.new_uuid()))
    return [context.is_replaying, repr(object())[:0]]


@pytest.mark.parametrize(
    ("orchestrator", "step", "words"),
    [
        (clock, 1, "call_activity 'say'"),
        (dice, 2, "call_activity 'say'"),
        (counter, 1, "create_timer"),
        (environment, 1, "wait_for_external_event"),
        (replaying, 1, "only once"),
        (status, 0, "customStatus"),
        (output, 0, "output"),
        (failure, 0, "error"),
    ],
)
def test_given_a_nondeterministic_orchestrator_then_named_with_its_step(
    orchestrator: Callable[[Any], Any], step: int, words: str
) -> None:
    harness = ReplayHarness({orchestrator.__name__: orchestrator}, {"say": lambda _: None})
    harness.start(orchestrator.__name__)
    with pytest.raises(ReplayError) as found:
        harness.run()
    assert f"orchestrator '{orchestrator.__name__}' is not deterministic" in str(found.value)
    assert "would break in production" in str(found.value)
    assert words in str(found.value)
    assert step == 0 or f"step {step} was" in str(found.value)


def test_given_an_object_address_in_a_failure_then_replay_finds_nothing() -> None:
    def raises(context):
        yield context.call_activity("say", "x")
        raise ValueError(f"cannot use {object()}")

    harness = ReplayHarness({"raises": raises}, {"say": lambda _: None})
    instance_id = harness.start("raises")
    harness.run()
    assert harness.status(instance_id).runtime_status == "Failed"


def _say(_: object) -> str:
    return "said"


def retry_in_a_caught_fan_out(context):
    retry = df.RetryOptions(1000, 3)
    failing = context.call_activity("bad", "a")
    tried = context.call_activity_with_retry("bad", retry, "b")
    try:
        yield context.task_all([failing, tried])
    except Exception:
        first = yield context.call_activity("say", "c1")
        second = yield context.call_activity("say", "c2")
        return [first, second]


def retry_raced_by_a_cancelled_timer(context):
    timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=20))
    tried = context.call_activity_with_retry("bad", df.RetryOptions(1000, 3), "b")
    yield context.task_any([timer, tried])
    timer.cancel()
    return (yield context.call_activity("say", "next"))


@pytest.mark.parametrize(
    ("hazard", "words"),
    [
        (retry_in_a_caught_fan_out, "the host runs a timer under number 2, where the SDK knows an activity"),
        (retry_raced_by_a_cancelled_timer, "Non-Deterministic workflow detected"),
    ],
)
def test_given_a_recorded_hazard_when_run_then_it_is_found(hazard: Callable[[Any], Any], words: str) -> None:
    runs = itertools.count()

    def bad(given: str) -> str:
        if given == "a" or next(runs) < 2:
            raise ValueError("bad")
        return "good"

    harness = ReplayHarness({"hazard": hazard}, {"say": _say, "bad": bad})
    harness.start("hazard")
    with pytest.raises(ReplayError, match="'hazard' is not deterministic") as found:
        harness.run()
    assert words in str(found.value)


def _everything(context):
    """What the SDK numbers in odd ways, without being wrong."""
    retry = df.RetryOptions(1000, 3)
    tries = [context.call_activity_with_retry("flaky", retry, n) for n in range(3)]
    said = yield context.task_all([*tries, context.call_activity("say", "beside")])
    timer = context.create_timer(context.current_utc_datetime + timedelta(days=10))
    event = context.wait_for_external_event("go")
    yield context.task_any([timer, event, context.call_activity("say", "loser")])
    timer.cancel()
    yield context.call_sub_orchestrator_with_retry("child", retry, None)
    yield context.create_timer(context.current_utc_datetime - timedelta(days=1))
    yield context.task_all([])
    context.set_custom_status({"replaying": context.is_replaying})
    if (context.get_input() or 0) < 2:
        context.continue_as_new((context.get_input() or 0) + 1)
        return None
    return [said, str(context.new_uuid()), context.is_replaying]


def _child(context):
    return (yield context.call_activity("say", context.instance_id))


def test_given_every_kind_of_step_when_run_then_no_false_alarm() -> None:
    tries: dict[Any, int] = {}

    def flaky(given: int) -> str:
        tries[given] = tries.get(given, 0) + 1
        if tries[given] % 2:
            raise ValueError("once more")
        return "done"

    harness = ReplayHarness({"everything": _everything, "child": _child}, {"flaky": flaky, "say": _say})
    instance_id = harness.start("everything")
    harness.suspend(instance_id, "wait")
    harness.schedule(3, lambda: harness.resume(instance_id, "go on"))
    harness.run()
    assert harness.status(instance_id).runtime_status == "Completed"


def test_given_an_execution_then_its_prefixes_are_what_was_asked_then() -> None:
    asked: dict[str, list[str]] = {}

    class Remembering(DeterminismCheck):
        def wrap(self, name: str, call: Any, handle: Any = None) -> Any:
            def remember(context: str) -> Any:
                history = json.loads(context)["history"]
                execution = history[1]["OrchestrationInstance"]["ExecutionId"]
                asked.setdefault(execution, []).append(context)
                return call(context)

            return super().wrap(name, remember, call)

    harness = ReplayHarness({"everything": _everything, "child": _child}, {"flaky": _say, "say": _say})
    check = Remembering(open_tasks)
    for name, function in (("everything", _everything), ("child", _child)):
        wrapped = check.wrap(name, df.Orchestrator.create(function))
        harness._engine._orchestrators[name] = wrapped  # type: ignore[index]
    instance_id = harness.start("everything")
    harness.raise_event(instance_id, "go", at=100)
    harness.run()

    assert len(asked) == 6
    for contexts in asked.values():
        earlier = Prefixes(contexts[-1])
        lengths = [len(json.loads(context)["history"]) for context in contexts]
        assert [json.loads(earlier.context(length)) for length in lengths] == [
            json.loads(context) for context in contexts
        ]
        # The first context of a new generation holds the end of its batch too, the later ones none.
        assert boundaries(earlier.history)[1:] == lengths[1:]


@given(st.integers(1, 400))
def test_given_a_long_execution_then_every_history_is_sampled_in_turn(
    episodes: int,
) -> None:
    seen: set[int] = set()
    for count in range(episodes, episodes + 120):
        lengths = [4 * n for n in range(1, count + 1)]
        chosen = sample(lengths, lengths[-1])
        assert chosen[-1] == lengths[-1]
        assert chosen == sorted(chosen)
        assert len(chosen) <= PREFIXES + 1 or sum(chosen) <= EVENTS
        seen |= set(chosen)
    assert set(range(4, 4 * episodes + 1, 4)) <= seen


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ({"actionType": 0, "functionName": "say", "input": '"a"'}, "call_activity 'say'(\"a\")"),
        ({"actionType": 6, "externalEventName": "go"}, "wait_for_external_event 'go'"),
        (
            {"actionType": 12, "compoundActions": [{"actionType": 5, "fireAt": "2026-01-01T00:00:00Z"}]},
            "create_timer '2026-01-01T00:00:00Z'",
        ),
        (
            {
                "actionType": 11,
                "compoundActions": [
                    {"actionType": 6, "externalEventName": "a"},
                    {"actionType": 2, "functionName": "kid", "input": "null"},
                ],
            },
            "task_any(wait_for_external_event 'a', call_sub_orchestrator 'kid')",
        ),
    ],
)
def test_given_an_action_when_described_then_as_its_author_would_write_it(
    action: dict[str, Any], text: str
) -> None:
    assert describe(action) == text


def test_given_findings_then_each_orchestrator_and_step_is_told_once() -> None:
    check = DeterminismCheck(open_tasks)
    store = Store(":memory:")
    engine = Engine(store, {"dice": check.wrap("dice", df.Orchestrator.create(dice))}, ["say"])
    told: list[str] = []
    watch = DeterminismWatch(check, engine.known, told.append)
    watch.start()
    for _ in range(5):
        instance_id = engine.start("dice", None)
        while (report := engine.run_episode(instance_id)) is not None:
            watch.episode_done(report)
            for call in store.activities():
                engine.activity_succeeded(call, "null")
    watch.stop(20)
    assert [text.startswith("orchestrator 'dice' is not deterministic") for text in told] == [True]
    assert "step 2" in told[0]
    assert watch.left_out == 0
    store.close()


def test_given_a_past_hazard_then_it_is_found_in_the_episode_before() -> None:
    check = DeterminismCheck(open_tasks)
    store = Store(":memory:")
    hazard = check.wrap("hazard", df.Orchestrator.create(retry_in_a_caught_fan_out))
    engine = Engine(store, {"hazard": hazard}, ["say", "bad"])
    told: list[str] = []
    watch = DeterminismWatch(check, engine.known, told.append)
    instance_id = engine.start("hazard", None)
    while (report := engine.run_episode(instance_id)) is not None:
        watch.episode_done(report)
        for call in store.activities():
            if call.name == "bad":
                engine.activity_failed(call, "ValueError", "bad", "")
            else:
                engine.activity_succeeded(call, "null")
        engine.fire_due_timers(datetime.now(UTC) + timedelta(hours=1))
    watch.start()
    watch.stop(20)
    assert told
    assert all("where the SDK knows" in text for text in told)
    store.close()


def test_given_a_check_that_fails_itself_then_told_and_the_watch_goes_on() -> None:
    class Broken(DeterminismCheck):
        def run(self, episodes: Any, known: Any) -> Any:
            yield Divergence(episodes[-1].name, 1, "found")
            raise RuntimeError("broken")

    check = Broken(open_tasks)
    store = Store(":memory:")
    engine = Engine(store, {"child": check.wrap("child", df.Orchestrator.create(_child))}, ["say"])
    told: list[str] = []
    watch = DeterminismWatch(check, engine.known, told.append)
    watch.start()
    for _ in range(2):
        report = engine.run_episode(engine.start("child", None))
        assert report is not None
        watch.episode_done(report)
    watch.stop(20)
    assert [text for text in told if "could not be checked: RuntimeError: broken" in text] == told[1:]
    assert len(told) == 3
    store.close()
