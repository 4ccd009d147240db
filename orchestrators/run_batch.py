"""`run_batch`: advances a batch until each of its exports has ended."""

from __future__ import annotations

from dataclasses import replace

from durable_app.blueprint import Blueprint
from durable_app.calls import call, pause
from durable_app.sdk import Context, Steps
from mobexport import durable_names as names
from mobexport.pipeline.messages import AdvanceBatch, RunBatch
from mobexport.retry_policy import UNTIL_DONE, backoff
from mobexport.wire import Outcome

blueprint = Blueprint()

_ROUNDS = 50
_FIRST_SECONDS = 2.0
_MOST_SECONDS = 30.0


@blueprint.orchestrator(RunBatch)
def run_batch(context: Context, given: RunBatch) -> Steps:
    """Returns the last Outcome, with the batch's counts.

    Exports are started by a client and waited for by timer, never as sub-orchestrations: their ids are shared
    with other starters. Rounds in which nothing ended make the next ones rarer.
    """
    idle = given.idle
    for _ in range(_ROUNDS):
        step = AdvanceBatch(batch_id=given.batch_id)
        advanced: Outcome = yield from call(context, names.ADVANCE_BATCH, step, UNTIL_DONE)
        if advanced.failure or advanced.value["ended"]:
            return advanced
        idle = 0 if advanced.value["moved"] else idle + 1
        yield from pause(context, backoff(_FIRST_SECONDS, _MOST_SECONDS, idle, context.instance_id))
    context.continue_as_new(replace(given, idle=idle).to_json())
    return None
