"""What the platform lost is started again: any instance dead, any message gone, at any moment."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devhost.replay import EndedError
from durable_app import healing
from mobexport import durable_names as names
from mobexport.liveness import MAX_RESTARTS
from mobexport.pipeline.registry.states import State

TICK = timedelta(minutes=5)


@pytest.fixture(autouse=True)
def no_wait(monkeypatch) -> None:
    """A terminated instance ends after the look that ended it; the next one finds it so."""
    monkeypatch.setattr(healing, "_END_SECONDS", 0)


def tick(app) -> None:
    asyncio.run(healing.heal(app.services, app.app.client, app.h.now))


def tick_for(app, hours: float) -> None:
    for number in range(int(hours * 12)):
        app.h.schedule((number + 1) * TICK.total_seconds(), lambda: tick(app))


def lose_messages(app, instance: str) -> None:
    """All that is on its way to an instance, as when a control queue is cleared."""
    database = app.h._store._db
    for table in ("inbox", "timer", "activity"):
        database.execute(f"DELETE FROM {table} WHERE instance_id = ?", (instance,))


def instances(app) -> list[str]:
    row = app.row
    targets = [names.notify_instance(row.ref, name) for name in ("hook", "queue")]
    return [names.run_instance(row.ref), names.process_instance(row.ref), *targets]


def play(memory_app, accidents) -> tuple:
    """One export, and `(seconds, number of the instance, whether it dies or its messages are lost)`."""
    app = memory_app()

    def happen(which: int, dies: bool) -> None:
        instance = instances(app)[which]
        if instance not in app.h.instances():
            return
        if dies:
            with suppress(EndedError):
                app.h.terminate(instance, "as a platform does")
        else:
            lose_messages(app, instance)

    with app.in_virtual_time():
        for seconds, which, dies in accidents:
            app.h.schedule(seconds, lambda which=which, dies=dies: happen(which, dies))
        app.h.schedule(20, app.blob_event)
        tick_for(app, 3)
        app.start()
        app.h.run()
    return app, app.registry.get(app.row.id)


ACCIDENTS = st.lists(st.tuples(st.floats(0, 90), st.integers(0, 3), st.booleans()), min_size=1, max_size=4)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(accidents=ACCIDENTS)
@pytest.mark.long
def test_given_any_instance_or_message_lost_then_the_export_succeeds(memory_app, accidents) -> None:
    app, row = play(memory_app, accidents)
    assert row.state is State.SUCCEEDED
    assert {delivery["state"] for delivery in row.deliveries.values()} == {"Delivered"}
    assert {event["id"].rpartition("/")[2] for event in app.sent} == {"completed", "reject-rate"}
    assert len(app.api.jobs) == 1


def test_given_a_dead_run_then_goes_on_at_the_first_tick_and_is_counted(memory_app, caplog) -> None:
    _, row = play(memory_app, [(7.0, 0, True)])
    assert (row.state, row.restarts) == (State.SUCCEEDED, 1)
    assert f"{healing.LOST} run_export {names.run_instance(row.ref)} is gone (Terminated)" in caplog.text
    assert datetime.fromisoformat(row.ended_at) - datetime.fromisoformat(row.began_at) < timedelta(minutes=7)


def test_given_a_lost_poll_then_restarted_minutes_after_it_was_due(memory_app, caplog) -> None:
    _, row = play(memory_app, [(7.0, 0, False)])
    assert (row.state, row.restarts) == (State.SUCCEEDED, 1)
    assert "is stuck (Running)" in caplog.text


def test_given_nothing_lost_then_no_tick_touches_anything(memory_app, caplog) -> None:
    _, row = play(memory_app, [])
    assert (row.state, row.restarts) == (State.SUCCEEDED, 0)
    assert healing.LOST not in caplog.text


def test_given_one_that_cannot_be_looked_at_then_the_others_are(memory_app, monkeypatch, caplog) -> None:
    app = memory_app()
    run = names.run_instance(app.row.ref)
    find = healing._find
    seen = []

    async def failing(client, instance: str):
        seen.append(instance)
        if instance == run:
            raise ValueError("no such history")
        return await find(client, instance)

    monkeypatch.setattr(healing, "_find", failing)
    app.registry.amend(app.row.id, lambda now: replace(now, state=State.PROCESSING))
    tick(app)
    assert seen == [run, names.process_instance(app.row.ref)]
    assert f"{run} cannot be looked at: no such history" in caplog.text


def test_given_a_run_that_always_dies_then_ended_and_said(memory_app) -> None:
    app = memory_app()
    run = names.run_instance(app.row.ref)
    app.api.script = ["Queued"]
    with app.in_virtual_time():
        app.start()
        for _ in range(MAX_RESTARTS + 1):
            app.h.run(until=app.h.now + timedelta(seconds=1))
            app.h.terminate(run, "again")
            app.h.run(until=app.h.now)
            tick(app)
        app.h.run()
    row = app.registry.get(app.row.id)
    assert (row.state, row.error["code"]) == (State.FAILED, "WorkerLost")
    assert "memory" in row.error["message"]


def test_given_a_cancel_that_nobody_hears_then_the_tick_ends_the_attempt(memory_app) -> None:
    app = memory_app()
    with app.in_virtual_time():
        app.start()
        app.h.run(until=app.h.now + timedelta(seconds=7))
        lose_messages(app, names.run_instance(app.row.ref))
        app.registry.request_cancel(app.row.id)
        tick_for(app, 1)
        app.h.run()
    assert app.registry.get(app.row.id).state is State.CANCELLED
