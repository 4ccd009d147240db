"""`run_task_lane`: one lane of large work: its share of the steps, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from durable_app.blueprint import Blueprint
from durable_app.calls import call
from durable_app.sdk import Context, Steps
from mobexport import durable_names as names
from mobexport.export_api.messages import PartStep
from mobexport.pipeline.messages import ConvertPart
from mobexport.wire import Outcome, RunLane, Step

blueprint = Blueprint()

# Steps in one history; a lane with more of them continues as new, which keeps replays short.
_GENERATION = 50
_STEPS: Final[Mapping[str, type[Step]]] = {
    names.PARTITION_SLICE: PartStep,
    names.WRITE_BUCKET: PartStep,
    names.CONVERT_PART: ConvertPart,
}


@blueprint.orchestrator(RunLane)
def run_task_lane(context: Context, given: RunLane) -> Steps:
    """Returns the first failure, else an empty Outcome."""
    number = given.next
    for _ in range(_GENERATION):
        if number >= given.end:
            return Outcome()
        step = _STEPS[given.activity].from_json({**given.step, "number": number})
        outcome: Outcome = yield from call(context, given.activity, step)
        if outcome.failure:
            return outcome
        number += given.stride
    context.continue_as_new(replace(given, next=number).to_json())
    return None
