"""Processing in virtual time: which files are converted whole, and which in parts side by side."""

import itertools
from collections import Counter

import pytest

from mobexport import durable_names as names
from mobexport.pipeline.messages import EndStep, ProcessExport
from mobexport.wire import Outcome

FILES = {"ok": {"done": False, "files": 3, "large": [1]}}
FAILED = {"error": {"code": "Truncated", "kind": "data", "message": "cut off", "retryable": False}}


def process(pipeline, **more) -> list:
    pipeline.overrides.setdefault(names.BEGIN_PROCESSING, lambda _: FILES)
    pipeline.h.start(
        names.PROCESS_EXPORT, ProcessExport(export_id="e", attempt=1, **more).to_json(), "process-e-1"
    )
    pipeline.h.run()
    assert pipeline.h.status("process-e-1").runtime_status == "Completed"
    return [(name, given) for _, name, given in pipeline.h.activity_calls]


@pytest.fixture
def pipeline(make_pipeline):
    found = make_pipeline()
    found.overrides[names.BEGIN_PROCESSING] = lambda _: FILES
    found.overrides[names.FIND_PARTS] = lambda _: {"ok": {"parts": 5, "lanes": 2}}
    return found


def test_given_a_large_file_then_parts_side_by_side_and_the_others_whole(pipeline) -> None:
    running: Counter[str] = Counter()
    most = 0
    seconds = itertools.cycle([5, 1, 3])

    def part(_):
        nonlocal most
        running["parts"] += 1
        most = max(most, running["parts"])
        lasts = next(seconds)
        pipeline.h.schedule(lasts - 0.5, lambda: running.subtract(["parts"]))
        return pipeline.h.after(lasts, {"ok": {}})

    pipeline.overrides[names.CONVERT_PART] = part
    calls = process(pipeline)
    assert [name for name, _ in calls] == [
        names.BEGIN_PROCESSING,
        names.CONVERT_FILE,
        names.FIND_PARTS,
        *[names.CONVERT_PART] * 5,
        names.CONVERT_FILE,
        names.COMMIT_EXPORT,
    ]
    assert most == 2
    given = [step for name, step in calls if name == names.CONVERT_PART]
    assert sorted(step["number"] for step in given) == list(range(5))
    assert {(step["exportId"], step["attempt"], step["index"]) for step in given} == {("e", 1, 1)}


def test_given_a_large_file_that_cannot_be_cut_when_processed_then_whole(pipeline) -> None:
    pipeline.overrides[names.FIND_PARTS] = lambda _: {"ok": {"parts": 1, "lanes": 2}}
    calls = process(pipeline)
    assert [step["index"] for name, step in calls if name == names.CONVERT_FILE] == [0, 1, 2]
    assert names.CONVERT_PART not in dict(calls)


def test_given_small_work_when_processed_then_one_step_does_it_all(pipeline) -> None:
    pipeline.overrides[names.BEGIN_PROCESSING] = lambda _: {"ok": {"done": True}}
    assert [name for name, _ in process(pipeline, started_by="run")] == [names.BEGIN_PROCESSING]


def test_given_small_work_that_fails_when_processed_then_given_up(pipeline) -> None:
    pipeline.overrides[names.BEGIN_PROCESSING] = lambda _: FAILED
    assert [name for name, _ in process(pipeline)] == [names.BEGIN_PROCESSING, names.GIVE_UP_PROCESSING]


@pytest.mark.parametrize("lost", [3, 4])
def test_given_a_lane_lost_by_the_platform_then_called_again_thrice(pipeline, lost: int) -> None:
    deaths = itertools.count(1)

    def part(given):
        if given["number"] == 0 and next(deaths) <= lost:
            (lane,) = [one for one in pipeline.h.instances() if _begins(pipeline, one)]
            pipeline.h.terminate(lane, "as a platform does")
            return pipeline.h.after(1, {"ok": {}})
        return {"ok": {}}

    pipeline.overrides[names.CONVERT_PART] = part
    last = process(pipeline)[-1]
    if lost == 3:
        assert last[0] == names.COMMIT_EXPORT
    else:
        assert last[0] == names.GIVE_UP_PROCESSING
        assert "as a platform does" in last[1]["outcome"]["error"]["message"]


def _begins(pipeline, instance: str) -> bool:
    """Whether it is the lane of part 0 that is going."""
    found = pipeline.h.status(instance)
    return (
        found.name == names.RUN_TASK_LANE and found.runtime_status == "Running" and found.input["next"] == 0
    )


@pytest.mark.parametrize("step", [names.FIND_PARTS, names.CONVERT_PART])
def test_given_a_part_or_a_look_that_fails_when_processed_then_no_commit(pipeline, step) -> None:
    pipeline.overrides[step] = lambda given: FAILED if given.get("number", 3) == 3 else {"ok": {}}
    calls = process(pipeline)
    assert names.COMMIT_EXPORT not in dict(calls)
    assert calls[-1] == (
        names.GIVE_UP_PROCESSING,
        EndStep(export_id="e", attempt=1, outcome=Outcome.from_json(FAILED)).to_json(),
    )
    # The file behind it is left alone.
    assert [given["index"] for name, given in calls if name == names.CONVERT_FILE] == [0]


@pytest.mark.parametrize("step", [names.FIND_PARTS, names.CONVERT_PART])
def test_given_a_step_whose_worker_dies_then_it_alone_is_tried_again(pipeline, step) -> None:
    tried: Counter[int] = Counter()
    answers = {names.FIND_PARTS: {"parts": 5, "lanes": 2}, names.CONVERT_PART: {}}

    def run(given):
        number = given.get("number", 2)
        tried[number] += 1
        if number == 2 and tried[2] < 3:
            raise RuntimeError("the worker died")
        return {"ok": answers[step]}

    pipeline.overrides[step] = run
    assert process(pipeline)[-1][0] == names.COMMIT_EXPORT
    assert tried == ({2: 3} if step == names.FIND_PARTS else {0: 1, 1: 1, 2: 3, 3: 1, 4: 1})


def test_given_a_trace_and_a_large_file_then_every_step_carries_it(pipeline) -> None:
    calls = process(pipeline, trace="00-trace-span-01")
    assert len(calls) == 1 + 2 + 1 + 5 + 1
    assert {step["trace"] for _, step in calls} == {"00-trace-span-01"}
