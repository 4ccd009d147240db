"""`run_task_lane`: one lane of a large export task: its share of the steps, one after the other."""

from __future__ import annotations

from dataclasses import replace

from durable_app.blueprint import Blueprint
from durable_app.calls import call
from durable_app.sdk import Context, Steps
from mobexport.export_api.messages import PartStep, RunTaskLane
from mobexport.wire import Outcome

blueprint = Blueprint()

# Steps in one history; a lane with more of them continues as new, which keeps replays short.
_GENERATION = 50


@blueprint.orchestrator(RunTaskLane)
def run_task_lane(context: Context, given: RunTaskLane) -> Steps:
    """Returns the first failure, else an empty Outcome."""
    number = given.next
    for _ in range(_GENERATION):
        if number >= given.end:
            return Outcome()
        step = PartStep(app=given.app, task_id=given.task_id, number=number)
        outcome: Outcome = yield from call(context, given.activity, step)
        if outcome.failure:
            return outcome
        number += given.stride
    context.continue_as_new(replace(given, next=number).to_json())
    return None
