"""`serve_export_task`: the Export API's work on one task: plan, write the file, finish."""

from __future__ import annotations

from durable import Blueprint, Context, Steps
from mobexport import durable_names as names
from mobexport.retry_policy import MUST_HAPPEN
from orchestrators.steps import call

blueprint = Blueprint()


@blueprint.orchestrator
def serve_export_task(context: Context) -> Steps:
    """Input: `{version, app, taskId}`; only references and counts travel between the steps."""
    given = context.get_input()
    step = {"app": given["app"], "taskId": given["taskId"]}
    outcome = yield from call(context, names.PLAN_EXPORT_TASK, step)
    if "ok" in outcome:
        outcome = yield from call(context, names.WRITE_FILE, step)
    return (yield from call(context, names.FINISH_EXPORT_TASK, {**step, "outcome": outcome}, MUST_HAPPEN))
