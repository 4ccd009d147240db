"""`serve_export_task`: the Export API's work on one task: plan, write the file, finish."""

from __future__ import annotations

from typing import Any

from durable import Blueprint, Context, Steps
from mobexport import durable_names as names
from mobexport.retry_policy import MUST_HAPPEN
from orchestrators.steps import call, side_by_side

blueprint = Blueprint()


@blueprint.orchestrator
def serve_export_task(context: Context) -> Steps:
    """Input: `{version, app, taskId, trace?}`; only references and counts travel between the steps."""
    given = context.get_input()
    step = {"app": given["app"], "taskId": given["taskId"]}
    outcome = yield from call(context, names.PLAN_EXPORT_TASK, step)
    if "ok" in outcome:
        outcome = yield from (_write_large if outcome["ok"]["slices"] else _write_small)(
            context, step, outcome["ok"]
        )
    return (yield from call(context, names.FINISH_EXPORT_TASK, {**step, "outcome": outcome}, MUST_HAPPEN))


def _write_small(context: Context, step: dict[str, Any], _: dict[str, Any]) -> Steps:
    return (yield from call(context, names.WRITE_FILE, step))


def _write_large(context: Context, step: dict[str, Any], plan: dict[str, Any]) -> Steps:
    """Every slice, then every bucket, then the commit."""
    for activity, count in ((names.PARTITION_SLICE, plan["slices"]), (names.WRITE_BUCKET, plan["buckets"])):
        outcome = yield from side_by_side(context, activity, step, count, plan["lanes"])
        if "error" in outcome:
            return outcome
    return (yield from call(context, names.COMMIT_FILE, step))
