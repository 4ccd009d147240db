"""`run_batch`: carries a batch on until each of its exports has ended."""

from __future__ import annotations

from durable import Blueprint, Context, Steps
from mobexport import durable_names as names
from mobexport.retry_policy import MUST_HAPPEN, backoff
from orchestrators.steps import call, pause

blueprint = Blueprint()

_ROUNDS = 50
_FIRST_SECONDS = 2.0
_MOST_SECONDS = 30.0


@blueprint.orchestrator
def run_batch(context: Context) -> Steps:
    """Input: `{version, batchId, idle, trace?}`; returns the batch's counts.

    Exports are started by a client and waited for by timer, never as sub-orchestrations: their ids are shared
    with other starters. `idle` counts rounds in which nothing ended, and makes them rarer.
    """
    given = context.get_input()
    idle = given["idle"]
    for _ in range(_ROUNDS):
        advanced = yield from call(context, names.ADVANCE_BATCH, {"batchId": given["batchId"]}, MUST_HAPPEN)
        if "error" in advanced or advanced["ok"]["ended"]:
            return advanced
        idle = 0 if advanced["ok"]["moved"] else idle + 1
        yield from pause(context, backoff(_FIRST_SECONDS, _MOST_SECONDS, idle, context.instance_id))
    context.continue_as_new({**given, "idle": idle})
    return None
