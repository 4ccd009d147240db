"""The dispatcher: threads, timers in real time, recovery of what a dead process left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import azure.durable_functions as df

from devhost.durable.dispatcher import Dispatcher
from devhost.durable.engine import Engine
from devhost.durable.store import Store
from devhost.errors import UserCodeError


def fan(context):
    yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=50))
    return (yield context.task_all([context.call_activity("work", n) for n in range(4)]))


def one(context):
    return (yield context.call_activity("work", 7))


def engine_of(store: Store) -> Engine:
    created = {f.__name__: df.Orchestrator.create(f) for f in (fan, one)}
    return Engine(store, created, ["work"])


@contextmanager
def working(
    store: Store, activity: Callable[[str, str | None], str], warnings: list[str] | None = None
) -> Iterator[tuple[Engine, Dispatcher]]:
    engine = engine_of(store)
    kept: list[str] = [] if warnings is None else warnings
    dispatcher = Dispatcher(engine, activity, max_activities=2, warn=kept.append)
    dispatcher.start()
    try:
        yield engine, dispatcher
    finally:
        dispatcher.stop(5.0)


def ended(engine: Engine, instance_id: str, within: float = 5.0) -> str:
    end = time.monotonic() + within
    while time.monotonic() < end:
        instance = engine.store.instance(instance_id)
        if instance is not None and instance.is_terminal:
            return f"{instance.status} {instance.output}"
        time.sleep(0.01)
    raise TimeoutError(instance_id)


def test_given_timers_and_activities_then_all_instances_complete() -> None:
    store = Store(":memory:")
    with working(store, lambda _, text: text or "null") as (engine, _):
        ids = [engine.start("fan", None) for _ in range(20)]
        assert {ended(engine, i) for i in ids} == {"Completed [0,1,2,3]"}
    store.close()


def test_given_an_event_during_continue_as_new_then_it_is_taken_after() -> None:
    store = Store(":memory:")

    def rounds(context):
        seen = context.get_input() or []
        event = yield context.wait_for_external_event("E")
        if not seen:
            engine.raise_event("i", "E", "2")  # after this episode took its messages
            context.continue_as_new([event])
            return None
        return [*seen, event]

    engine = Engine(store, {"rounds": df.Orchestrator.create(rounds)}, [])
    dispatcher = Dispatcher(engine, lambda _, text: text or "null", max_activities=1, warn=[].append)
    dispatcher.start()
    try:
        engine.start("rounds", None, "i")
        engine.raise_event("i", "E", "1")
        assert ended(engine, "i") == "Completed [1,2]"
    finally:
        dispatcher.stop(5.0)
    store.close()


def test_given_more_activities_than_threads_when_run_then_the_limit_holds() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def activity(_: str, text: str | None) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return text or "null"

    store = Store(":memory:")
    with working(store, activity) as (engine, _):
        ended(engine, engine.start("fan", None))
    assert most == 2
    store.close()


def test_given_an_activity_that_raises_when_run_then_the_instance_fails() -> None:
    def activity(_: str, __: str | None) -> str:
        raise UserCodeError("ValueError", "boom", "stack")

    store = Store(":memory:")
    with working(store, activity) as (engine, _):
        assert "Activity function 'work' failed:  ValueError: boom" in ended(
            engine, engine.start("one", None)
        )
    store.close()


def test_given_a_process_that_died_then_its_work_goes_on_in_the_next(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    first = Store(path)
    dead = engine_of(first)
    dead.start("one", None, "scheduled")
    dead.run_episode("scheduled")
    dead.start("fan", None, "timer")
    dead.run_episode("timer")
    dead.start("one", None, "waiting")
    first.close()

    runs: list[str | None] = []
    second = Store(path)

    def activity(_: str, text: str | None) -> str:
        runs.append(text)
        return text or "null"

    with working(second, activity) as (engine, _):
        for instance_id in ("scheduled", "timer", "waiting"):
            assert ended(engine, instance_id).startswith("Completed")
    assert sorted(str(text) for text in runs) == ["0", "1", "2", "3", "7", "7"]
    second.close()


def test_given_a_running_activity_when_stopped_then_awaited_and_no_other() -> None:
    begun, runs = threading.Event(), []

    def activity(_: str, text: str | None) -> str:
        runs.append(text)
        begun.set()
        time.sleep(0.2)
        return text or "null"

    store = Store(":memory:")
    engine = engine_of(store)
    dispatcher = Dispatcher(engine, activity, max_activities=1, warn=lambda _: None)
    dispatcher.start()
    engine.start("fan", None, "x")
    assert begun.wait(5)
    assert dispatcher.stop(5.0)
    assert len(runs) == 1
    assert len(store.activities()) == 3
    store.close()


def generations(context):
    """Goes on as new without waiting for anything."""
    count = context.get_input() or 0
    if count < 3:
        context.continue_as_new(count + 1)
        return None
    yield context.call_activity("work", count)
    return count


def test_given_new_generations_that_never_wait_then_each_has_an_episode() -> None:
    store = Store(":memory:")
    engine = Engine(store, {"generations": df.Orchestrator.create(generations)}, ["work"])
    dispatcher = Dispatcher(engine, lambda _, text: text or "null", max_activities=1, warn=lambda _: None)
    dispatcher.start()
    try:
        assert ended(engine, engine.start("generations", None)) == "Completed 3"
    finally:
        dispatcher.stop(5.0)
        store.close()


def test_given_a_message_during_an_episode_then_another_episode_follows() -> None:
    def posting(context: str) -> str:
        nonlocal posted
        if not posted:
            posted = True
            engine.raise_event("x", "go", "1")  # while the first episode runs
        return handle(context)

    def waits(context):
        return (yield context.wait_for_external_event("go"))

    posted, handle = False, df.Orchestrator.create(waits)
    store = Store(":memory:")
    engine = Engine(store, {"waits": posting}, [])
    dispatcher = Dispatcher(engine, lambda _, __: "null", max_activities=1, warn=lambda _: None)
    dispatcher.start()
    try:
        engine.start("waits", None, "x")
        assert ended(engine, "x") == "Completed 1"
    finally:
        dispatcher.stop(5.0)
        store.close()
