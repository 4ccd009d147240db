"""`serve_export_task`: the Export API's work on one task: plan, write the file, finish."""

from __future__ import annotations

from typing import Any

from durable import Blueprint, Context, Outcome, Steps
from mobexport import durable_names as names
from mobexport.retry_policy import MUST_HAPPEN
from orchestrators.steps import call, step_failed, trace_of

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
        outcome = yield from _side_by_side(context, activity, step, count, min(plan["lanes"], count))
        if "error" in outcome:
            return outcome
    return (yield from call(context, names.COMMIT_FILE, step))


def _side_by_side(context: Context, activity: str, step: dict[str, Any], count: int, lanes: int) -> Steps:
    """All numbers below `count`, in lanes: as many steps at a time and no more, each with its own retries."""
    tasks = [
        context.call_sub_orchestrator(
            names.RUN_TASK_LANE,
            {
                "version": 1,
                "activity": activity,
                "step": step,
                "next": lane,
                "stride": lanes,
                "end": count,
                **trace_of(context),
            },
        )
        for lane in range(lanes)
    ]
    try:
        outcomes: list[Outcome] = yield context.task_all(tasks)
    except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions
        return step_failed(error)
    return next((outcome for outcome in outcomes if "error" in outcome), outcomes[0])
