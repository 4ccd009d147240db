"""`serve_export_task`: the Export API's work on one task: plan, write the file, finish."""

from __future__ import annotations

from durable_app.blueprint import Blueprint
from durable_app.calls import call, side_by_side
from durable_app.sdk import Context, Steps
from mobexport import durable_names as names
from mobexport.export_api.messages import FinishTask, ServeExportTask, TaskStep
from mobexport.retry_policy import UNTIL_DONE
from mobexport.wire import Outcome

blueprint = Blueprint()


@blueprint.orchestrator(ServeExportTask)
def serve_export_task(context: Context, given: ServeExportTask) -> Steps:
    """Returns the last Outcome; only references and counts travel between the steps."""
    step = TaskStep(app=given.app, task_id=given.task_id)
    outcome: Outcome = yield from call(context, names.PLAN_EXPORT_TASK, step)
    if "state" in outcome.value:
        return outcome
    if not outcome.failure:
        plan = outcome.value
        outcome = yield from _write_large(context, step, plan["slices"], plan["buckets"], plan["lanes"])
    end = FinishTask(app=given.app, task_id=given.task_id, outcome=outcome)
    return (yield from call(context, names.FINISH_EXPORT_TASK, end, UNTIL_DONE))


def _write_large(context: Context, step: TaskStep, slices: int, buckets: int, lanes: int) -> Steps:
    """Every slice, then every bucket, then the commit."""
    for activity, count in ((names.PARTITION_SLICE, slices), (names.WRITE_BUCKET, buckets)):
        outcome: Outcome = yield from side_by_side(context, activity, step, count, lanes)
        if outcome.failure:
            return outcome
    return (yield from call(context, names.COMMIT_FILE, step))
