"""One attempt, whatever API, worker and callers do: legal states, one end, no cancel lost, nothing twice."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobexport import durable_names as names
from mobexport.errors import ConfigError, Rejected, Throttled, Transient
from mobexport.pipeline.registry.states import State, can_move

FAILURES = st.sampled_from(
    [
        None,
        None,
        None,
        Transient("down"),
        Throttled("wait", retry_after=400),
        Rejected("no"),
        Rejected("no such task", status=404),
        ConfigError("EXPORT_API_SCOPE: wrong"),
        ConnectionError("a bug, or a worker that died"),
    ]
)
JOB = st.one_of(
    st.just(["Queued", "Started", "Succeeded"]),
    st.just(["Succeeded"]),
    st.lists(st.sampled_from(["Queued", "Started", "Succeeded", "Failed", "Paused"]), min_size=1, max_size=5),
)
FILES = st.sampled_from([{}, {"Event-1.json": b"[]"}, {"Event-1.json": b"[]", "Event-2.json": b"[]"}])


def run(memory_app, data, *, cancel: bool):
    """One attempt with everything drawn; the app as it ended."""
    app = memory_app(early_timers=data.draw(st.sampled_from([0.0, 1.0]), "early"))
    app.api.script = data.draw(JOB, "job")
    app.api.files = data.draw(FILES, "files")
    app.api.failures = data.draw(st.lists(FAILURES, max_size=6), "failures")
    app.api.lose_create = data.draw(st.booleans(), "lose create")
    app.answers = data.draw(st.lists(st.sampled_from([None, Transient("down"), Rejected("no")]), max_size=4))
    crashes = data.draw(st.sets(st.integers(0, 12), max_size=3), "crashes")
    count = iter(range(10**6))
    app.app.crashed = lambda name: next(count) in crashes
    with app.in_virtual_time():
        if cancel:
            _cancel_at(app, data)
        for seconds in data.draw(st.lists(st.floats(0, 60), max_size=2), "blob events"):
            app.h.schedule(seconds, app.blob_event)
        app.start()
        app.h.run()
        # A blob event, the run itself and a second request, long after the end.
        app.blob_event()
        app.start()
        app.h.run()
    return app


def _cancel_at(app, data) -> None:
    """A cancel at a moment, or between two operations on storage, also in the middle of a step."""
    if data.draw(st.booleans(), "cancel by time"):
        app.h.schedule(data.draw(st.floats(0, 60), "cancel after"), app.cancel)
        return
    at = data.draw(st.integers(0, 60), "cancel at operation")
    seen = iter(range(10**9))

    def told() -> None:
        if next(seen) == at:
            app.cancel()

    app.storage.told = told


def check(app) -> State:
    row = app.registry.get(app.row.id)
    assert row.state.terminal
    assert all(can_move(before, after) for before, after in pairwise(app.states) if before is not after)
    assert sum(state.terminal for state, _ in _runs(app.states)) == 1
    for instance in app.h.instances():
        assert app.h.status(instance).runtime_status == "Completed", instance
    delivered = {name for name, delivery in row.deliveries.items() if delivery["state"] == "Delivered"}
    assert not row.pending_deliveries
    assert len(app.sent) == len(delivered)
    # One record in three is a reject, which is an event of its own where it succeeds.
    findings = ["", "~reject-rate"] if row.state is State.SUCCEEDED else [""]
    assert len({event["id"] for event in app.sent}) <= len(findings)
    told = {f"1/{name}{finding}" for name in ("hook", "queue") for finding in findings}
    assert set(row.deliveries) == (told if row.state.event else set())
    assert (row.manifest is not None) == (row.state in (State.SUCCEEDED, State.EMPTY))
    if row.manifest is None:
        assert not app.tables.days
        assert row.landing is None
    return row.state


def _runs(states):
    """States without repetitions, with how often each stood."""
    found = []
    for state in states:
        if not found or found[-1][0] is not state:
            found.append((state, 1))
    return found


SETTINGS = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@SETTINGS
@given(data=st.data())
@pytest.mark.long
def test_given_any_api_and_any_crash_when_run_then_a_legal_way_to_one_end(memory_app, data) -> None:
    assert check(run(memory_app, data, cancel=False)) is not State.CANCELLED


@SETTINGS
@given(data=st.data())
@pytest.mark.long
def test_given_a_cancel_at_any_interleaving_when_accepted_then_never_lost(memory_app, data) -> None:
    app = run(memory_app, data, cancel=True)
    state = check(app)
    assert (state is State.CANCELLED) == (app.cancel_answer == "accepted")


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ({}, State.SUCCEEDED),
        ({"files": {}}, State.EMPTY),
        ({"script": ["Queued", "Failed"]}, State.FAILED),
        ({"script": ["Paused"]}, State.FAILED),
        ({"script": ["Queued"]}, State.TIMED_OUT),
        ({"script": ["Started"]}, State.TIMED_OUT),
        ({"failures": [ConfigError("EXPORT_API_SCOPE: wrong")]}, State.FAILED),
    ],
)
def test_given_a_script_then_its_end_and_one_event_for_each_target(memory_app, script, state) -> None:
    app = memory_app()
    for name, value in script.items():
        setattr(app.api, name, value)
    with app.in_virtual_time():
        app.start()
        app.h.run()
    assert check(app) is state
    ends = [event["data"]["state"] for event in app.sent if "state" in event["data"]]
    assert ends == [state, state]


@pytest.mark.long
def test_given_an_accepted_cancel_at_any_operation_then_never_lost(memory_app) -> None:
    answers = []
    for at in range(200):
        app = memory_app()
        seen = iter(range(10**9))
        app.storage.told = lambda at=at, app=app, seen=seen: app.cancel() if next(seen) == at else None
        with app.in_virtual_time():
            app.start()
            app.h.run()
        state = check(app)
        if app.cancel_answer is None:
            break
        assert (state is State.CANCELLED) == (app.cancel_answer == "accepted"), at
        answers.append(app.cancel_answer)
    # Accepted up to the moment at which the files are taken, too late from there on.
    assert answers == sorted(answers)
    assert {"accepted", "too late"} == set(answers)
    assert answers.count("accepted") > 10


def test_given_a_lost_run_when_started_again_then_it_goes_on_where_it_was(memory_app) -> None:
    app = memory_app()
    with app.in_virtual_time():
        app.start()
        app.h.run(until=app.h.now.replace(second=7))
        app.h.terminate(names.run_instance(app.row.ref))
        app.h.run(until=app.h.now)
        app.start()
        app.h.run()
    assert app.registry.get(app.row.id).state is State.SUCCEEDED
    assert len(app.api.jobs) == 1
