"""`run_task_lane`: one lane of steps side by side: its share of them, one after the other."""

from __future__ import annotations

from durable import Blueprint, Context, Steps
from orchestrators.steps import call

blueprint = Blueprint()

# Steps in one history; a lane with more of them continues as new, which keeps replays short.
_GENERATION = 50


@blueprint.orchestrator
def run_task_lane(context: Context) -> Steps:
    """Input: `{version, activity, step, next, stride, end, trace?}`; returns the first error, else `ok`."""
    given = context.get_input()
    number = given["next"]
    for _ in range(_GENERATION):
        if number >= given["end"]:
            return {"ok": {}}
        outcome = yield from call(context, given["activity"], {**given["step"], "number": number})
        if "error" in outcome:
            return outcome
        number += given["stride"]
    context.continue_as_new({**given, "next": number})
    return None
