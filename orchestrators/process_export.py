"""`process_export`: from the collected files of one attempt to committed Parquet."""

from __future__ import annotations

from collections.abc import Collection

from durable_app.blueprint import Blueprint
from durable_app.calls import call, side_by_side
from durable_app.sdk import Context, Steps
from mobexport import durable_names as names
from mobexport.pipeline.messages import BeginProcessing, CommitExport, ConvertFile, EndStep, ProcessExport
from mobexport.retry_policy import UNTIL_DONE
from mobexport.wire import Outcome

blueprint = Blueprint()


@blueprint.orchestrator(ProcessExport)
def process_export(context: Context, given: ProcessExport) -> Steps:
    """Returns the last Outcome.

    Three starters share its id, also after it finished: its first step returns when the work is done.
    """
    export_id, attempt = given.export_id, given.attempt
    step = BeginProcessing(export_id=export_id, attempt=attempt, started_by=given.started_by)
    outcome: Outcome = yield from call(context, names.BEGIN_PROCESSING, step)
    if not outcome.failure and not outcome.value["done"]:
        outcome = yield from _convert_and_commit(
            context, given, outcome.value["files"], outcome.value.get("large", ())
        )
    if outcome.failure:
        end = EndStep(export_id=export_id, attempt=attempt, outcome=outcome)
        yield from call(context, names.GIVE_UP_PROCESSING, end, UNTIL_DONE)
    return outcome


def _convert_and_commit(context: Context, given: ProcessExport, files: int, large: Collection[int]) -> Steps:
    export_id, attempt = given.export_id, given.attempt
    # One file after the other: an instance has one core, and a conversion uses all of it.
    for index in range(files):
        step = ConvertFile(export_id=export_id, attempt=attempt, index=index)
        convert = _convert_in_parts if index in large else _convert_whole
        converted: Outcome = yield from convert(context, step)
        if converted.failure:
            return converted
    commit = CommitExport(export_id=export_id, attempt=attempt, started_by=given.started_by)
    return (yield from call(context, names.COMMIT_EXPORT, commit))


def _convert_whole(context: Context, step: ConvertFile) -> Steps:
    return (yield from call(context, names.CONVERT_FILE, step))


def _convert_in_parts(context: Context, step: ConvertFile) -> Steps:
    """A large file: its parts side by side, on as many instances; whole where it cannot be cut."""
    found: Outcome = yield from call(context, names.FIND_PARTS, step)
    if found.failure:
        return found
    parts, lanes = found.value["parts"], found.value["lanes"]
    if parts == 1:
        return (yield from _convert_whole(context, step))
    return (yield from side_by_side(context, names.CONVERT_PART, step, parts, lanes))
