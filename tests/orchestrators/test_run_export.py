"""One attempt in virtual time: every end, every hint lost, a cancel at any moment."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobexport import durable_names as names
from mobexport.wire import AttemptRef

REF = AttemptRef("e", 1)


def error(code: str, *, retryable: bool = False) -> dict:
    return {"error": {"code": code, "kind": "remote", "message": f"it was {code}", "retryable": retryable}}


def end(pipeline) -> dict:
    """Starts the run and plays it to its end; how it ended."""
    run = pipeline.start()
    pipeline.h.run()
    status = pipeline.h.status(run)
    assert status.runtime_status == "Completed"
    assert len(pipeline.ends) == 1
    return pipeline.ends[0]


def test_given_a_job_that_succeeds_when_run_then_processed_once(pipeline) -> None:
    assert end(pipeline)["state"] == "Succeeded"
    assert len(pipeline.called(names.CONVERT_FILE)) == 2
    assert pipeline.h.status(names.process_instance(REF)).runtime_status == "Completed"


def test_given_timers_that_fire_early_when_run_then_the_same_end(make_pipeline) -> None:
    assert end(make_pipeline(early_timers=1.0))["state"] == "Succeeded"


def test_given_no_trigger_when_run_then_the_run_starts_processing_itself(pipeline) -> None:
    pipeline.trigger = False
    assert end(pipeline)["state"] == "Succeeded"
    assert len(pipeline.called(names.COMMIT_EXPORT)) == 1


def test_given_a_lost_event_when_run_then_the_registry_tells(pipeline) -> None:
    def commit(step):
        pipeline.processed = True
        return {"ok": {}}

    pipeline.overrides[names.COMMIT_EXPORT] = commit
    assert end(pipeline)["state"] == "Succeeded"


def test_given_a_second_blob_event_after_the_end_then_nothing_changes(pipeline) -> None:
    end(pipeline)
    pipeline.start_processing()
    pipeline.h.run()
    assert len(pipeline.called(names.COMMIT_EXPORT)) == 1


def test_given_a_job_that_fails_when_run_then_failed_with_its_reason(pipeline) -> None:
    pipeline.states = ["Queued", "Failed"]
    ended = end(pipeline)
    assert (ended["state"], ended["error"]["code"]) == ("Failed", "JobFailed")


def test_given_a_job_that_never_starts_then_timed_out_at_the_deadline(pipeline) -> None:
    pipeline.states = ["Queued"]
    ended = end(pipeline)
    assert ended["state"] == "TimedOut"
    assert "QUEUE_DEADLINE" in ended["error"]["message"]
    assert len(pipeline.called(names.CHECK_EXPORT_JOB)) < 30


def test_given_a_long_job_then_it_continues_as_new_with_a_short_history(pipeline) -> None:
    pipeline.states = ["Running"] * 23 + ["Succeeded"]
    pipeline.policy = replace(pipeline.policy, polls_per_generation=5)
    assert end(pipeline)["state"] == "Succeeded"
    assert len(pipeline.called(names.CHECK_EXPORT_JOB)) == 24
    # The last generation polls five times at most, then goes on to the end.
    assert len(pipeline.h.history(names.run_instance(REF))) < 8 * 5 + 40


def test_given_a_create_that_raises_then_tried_for_minutes_then_failed(pipeline) -> None:
    def down(_):
        raise RuntimeError("the worker died")

    pipeline.overrides[names.CREATE_EXPORT_JOB] = down
    began = pipeline.h.now
    assert end(pipeline)["state"] == "Failed"
    tries = pipeline.called(names.CREATE_EXPORT_JOB)
    assert [step["tried"] for step in tries] == list(range(8))
    assert timedelta(minutes=3) < pipeline.h.now - began < timedelta(minutes=6)


@pytest.mark.parametrize(("minutes", "state"), [(4, "Succeeded"), (60, "Succeeded"), (10_000, "TimedOut")])
def test_given_an_api_away_when_created_then_tried_until_the_deadline(pipeline, minutes, state) -> None:
    began, create = pipeline.h.now, pipeline.overrides[names.CREATE_EXPORT_JOB]
    pipeline.policy = replace(pipeline.policy, total_deadline=7200)

    def away(step):
        back = pipeline.h.now >= began + timedelta(minutes=minutes)
        return create(step) if back else error("Transient", retryable=True)

    pipeline.overrides[names.CREATE_EXPORT_JOB] = away
    ended = end(pipeline)
    assert ended["state"] == state
    assert len(pipeline.called(names.CREATE_EXPORT_JOB)) < 25
    if state == "TimedOut":
        assert ended["error"]["message"] == "it was tried until TOTAL_DEADLINE: it was Transient"
        assert abs(pipeline.h.now - began - timedelta(hours=2)) < timedelta(seconds=2)


def test_given_an_api_that_comes_back_when_polled_then_succeeded(pipeline) -> None:
    down = [{"error": {"code": "StepFailed", "kind": "bug", "message": "x", "retryable": True}}] * 5
    check = pipeline.overrides[names.CHECK_EXPORT_JOB]
    pipeline.overrides[names.CHECK_EXPORT_JOB] = lambda step: down.pop() if down else check(step)
    assert end(pipeline)["state"] == "Succeeded"


def test_given_an_empty_container_then_looked_into_for_two_minutes(pipeline) -> None:
    pipeline.looks = [{"none": True}] * 5 + [{"files": 0}]
    began = pipeline.h.now
    assert end(pipeline)["state"] == "Succeeded"
    looks = pipeline.called(names.COLLECT_FILES)
    assert [step["acceptNone"] for step in looks] == [False] * 5 + [True]
    assert pipeline.h.now - began > timedelta(minutes=2)


def test_given_a_file_that_cannot_be_used_when_processed_then_failed(
    pipeline,
) -> None:
    pipeline.overrides[names.CONVERT_FILE] = lambda _: {
        "error": {"code": "Truncated", "kind": "data", "message": "truncated", "retryable": False}
    }
    ended = end(pipeline)
    assert (ended["state"], ended["error"]["code"]) == ("Failed", "Truncated")


def test_given_a_dead_webhook_then_tried_for_hours_then_given_up(pipeline) -> None:
    pipeline.overrides[names.SEND_NOTIFICATION] = lambda _: {
        "error": {"code": "Transient", "kind": "remote", "message": "down", "retryable": True}
    }
    began = pipeline.h.now
    given = {"version": 1, "exportId": "e", "attempt": 1, "target": "t"}
    # Its own id: the jitter depends on it.
    pipeline.h.start(names.DELIVER_NOTIFICATION, given, names.notify_instance(REF, "t"))
    pipeline.h.run()
    tries = pipeline.called(names.SEND_NOTIFICATION)
    assert [(step["tried"], step["attempts"]) for step in tries] == [(number, 15) for number in range(15)]
    assert timedelta(hours=4.4) < pipeline.h.now - began < timedelta(hours=6.6)


@pytest.mark.parametrize("early", [0.0, 1.0])
def test_given_a_cancel_at_any_moment_when_run_then_never_lost(make_pipeline, early: float) -> None:
    @settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @given(seconds=st.floats(0, 40))
    def check(seconds: float) -> None:
        pipeline = make_pipeline(early_timers=early)
        collected = []
        original = pipeline._collect_files
        pipeline.overrides[names.COLLECT_FILES] = lambda step: (
            {"error": {"code": "Cancelled", "kind": "cancelled", "message": "x", "retryable": False}}
            if pipeline.cancelled
            else (collected.append(True), original(step))[1]
        )
        pipeline.h.schedule(seconds, pipeline.cancel)
        ended = end(pipeline)
        # Once the files are collected it is too late, and the HTTP function would answer 409.
        assert ended["state"] == ("Succeeded" if collected else "Cancelled")

    check()
