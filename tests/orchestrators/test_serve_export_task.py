"""One export task in virtual time."""

from mobexport import durable_names as names


def serve(pipeline) -> list:
    pipeline.h.start(names.SERVE_EXPORT_TASK, {"version": 1, "app": "a", "taskId": "t"}, "task-t")
    pipeline.h.run()
    assert pipeline.h.status("task-t").runtime_status == "Completed"
    return [(name, given) for _, name, given in pipeline.h.activity_calls]


def test_given_a_task_when_served_then_plan_write_finish(pipeline) -> None:
    pipeline.overrides[names.WRITE_FILE] = lambda _: {"ok": {"exported": 3}}
    calls = serve(pipeline)
    assert [name for name, _ in calls] == [names.PLAN_EXPORT_TASK, names.WRITE_FILE, names.FINISH_EXPORT_TASK]
    assert calls[-1][1]["outcome"] == {"ok": {"exported": 3}}


def test_given_a_plan_that_fails_when_served_then_finished_with_the_reason(pipeline) -> None:
    failed = {"error": {"code": "Data", "kind": "data", "message": "no", "retryable": False}}
    pipeline.overrides[names.PLAN_EXPORT_TASK] = lambda _: failed
    calls = serve(pipeline)
    assert [name for name, _ in calls] == [names.PLAN_EXPORT_TASK, names.FINISH_EXPORT_TASK]
    assert calls[-1][1]["outcome"] == failed


def test_given_a_finish_that_fails_for_hours_when_served_then_it_happens_in_the_end(pipeline) -> None:
    down = [{"error": {"code": "Transient", "kind": "remote", "message": "x", "retryable": True}}] * 12
    pipeline.overrides[names.FINISH_EXPORT_TASK] = lambda _: (
        down.pop() if down else {"ok": {"state": "Succeeded"}}
    )
    assert len([1 for name, _ in serve(pipeline) if name == names.FINISH_EXPORT_TASK]) == 13
