"""One export task in virtual time."""

import itertools
from collections import Counter

import pytest

from mobexport import durable_names as names
from mobexport.export_api.messages import TaskStep
from mobexport.wire import RunLane


def serve(pipeline) -> list:
    pipeline.h.start(names.SERVE_EXPORT_TASK, {"version": 1, "app": "a", "taskId": "t"}, "task-t")
    pipeline.h.run()
    assert pipeline.h.status("task-t").runtime_status == "Completed"
    return [(name, given) for _, name, given in pipeline.h.activity_calls]


def test_given_a_small_task_when_served_then_one_step_does_it_all(pipeline) -> None:
    assert [name for name, _ in serve(pipeline)] == [names.PLAN_EXPORT_TASK]


def test_given_a_plan_that_fails_when_served_then_finished_with_the_reason(pipeline) -> None:
    failed = {"error": {"code": "Data", "kind": "data", "message": "no", "retryable": False}}
    pipeline.overrides[names.PLAN_EXPORT_TASK] = lambda _: failed
    calls = serve(pipeline)
    assert [name for name, _ in calls] == [names.PLAN_EXPORT_TASK, names.FINISH_EXPORT_TASK]
    assert calls[-1][1]["outcome"] == failed


def test_given_a_finish_that_fails_for_hours_then_it_happens_in_the_end(pipeline) -> None:
    pipeline.overrides[names.PLAN_EXPORT_TASK] = lambda _: LARGE
    down = [{"error": {"code": "Transient", "kind": "remote", "message": "x", "retryable": True}}] * 12
    pipeline.overrides[names.FINISH_EXPORT_TASK] = lambda _: (
        down.pop() if down else {"ok": {"state": "Succeeded"}}
    )
    assert len([1 for name, _ in serve(pipeline) if name == names.FINISH_EXPORT_TASK]) == 13


LARGE = {"ok": {"slices": 5, "buckets": 3, "lanes": 2}}


def test_given_a_large_task_then_each_step_once_in_order_within_lanes(
    pipeline,
) -> None:
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()
    seconds = itertools.cycle([5, 1, 3])

    def step(name):
        def run(given):
            running[name] += 1
            most[name] = max(most[name], running[name])
            lasts = next(seconds)
            pipeline.h.schedule(lasts - 0.5, lambda: running.subtract([name]))
            return pipeline.h.after(lasts, {"ok": {}})

        return run

    pipeline.overrides[names.PLAN_EXPORT_TASK] = lambda _: LARGE
    for name in (names.PARTITION_SLICE, names.WRITE_BUCKET):
        pipeline.overrides[name] = step(name)
    pipeline.overrides[names.COMMIT_FILE] = lambda _: {"ok": {"exported": 3}}
    calls = serve(pipeline)
    assert most == {names.PARTITION_SLICE: 2, names.WRITE_BUCKET: 2}
    assert [name for name, _ in calls] == [
        names.PLAN_EXPORT_TASK,
        *[names.PARTITION_SLICE] * 5,
        *[names.WRITE_BUCKET] * 3,
        names.COMMIT_FILE,
        names.FINISH_EXPORT_TASK,
    ]
    for name, count in ((names.PARTITION_SLICE, 5), (names.WRITE_BUCKET, 3)):
        assert sorted(given["number"] for called, given in calls if called == name) == list(range(count))
    assert calls[-1][1]["outcome"] == {"ok": {"exported": 3}}


def test_given_a_slice_that_fails_for_good_then_no_bucket_but_the_reason(pipeline) -> None:
    gone = {"error": {"code": "SourceChanged", "kind": "data", "message": "gone", "retryable": False}}
    pipeline.overrides[names.PLAN_EXPORT_TASK] = lambda _: LARGE
    pipeline.overrides[names.PARTITION_SLICE] = lambda given: gone if given["number"] == 3 else {"ok": {}}
    calls = serve(pipeline)
    assert {name for name, _ in calls}.isdisjoint({names.WRITE_BUCKET, names.COMMIT_FILE})
    assert calls[-1][1]["outcome"] == gone


def test_given_a_slice_whose_worker_dies_then_it_alone_is_tried_again(pipeline) -> None:
    tried: Counter[int] = Counter()

    def partition(given):
        tried[given["number"]] += 1
        if given["number"] == 2 and tried[2] < 3:
            raise RuntimeError("the worker died")
        return {"ok": {}}

    pipeline.overrides[names.PLAN_EXPORT_TASK] = lambda _: LARGE
    pipeline.overrides[names.PARTITION_SLICE] = partition
    assert serve(pipeline)[-1][1]["outcome"] == {"ok": {}}
    assert tried == {0: 1, 1: 1, 2: 3, 3: 1, 4: 1}


@pytest.mark.long
def test_given_a_lane_of_many_steps_then_all_run_with_a_short_history(pipeline) -> None:
    done: list[int] = []
    pipeline.overrides[names.PARTITION_SLICE] = lambda given: done.append(given["number"]) or {"ok": {}}
    step = TaskStep(app="a", task_id="t").to_json()
    lane = RunLane(activity=names.PARTITION_SLICE, step=step, next=1, stride=3, end=200)
    pipeline.h.start(names.RUN_TASK_LANE, lane.to_json(), "lane")
    pipeline.h.run()
    assert done == list(range(1, 200, 3))
    assert pipeline.h.status("lane").output == {"ok": {}}
    assert len(pipeline.h.history("lane")) < 300


def test_given_a_trace_then_every_step_of_every_lane_carries_it(pipeline) -> None:
    pipeline.overrides[names.PLAN_EXPORT_TASK] = lambda _: LARGE
    given = {"version": 1, "app": "a", "taskId": "t", "trace": "00-trace-span-01"}
    pipeline.h.start(names.SERVE_EXPORT_TASK, given, "task-t")
    pipeline.h.run()
    assert len(pipeline.h.activity_calls) == 1 + 5 + 3 + 2
    assert {step["trace"] for _, _, step in pipeline.h.activity_calls} == {"00-trace-span-01"}
