"""`process_export`: from the collected files of one attempt to committed Parquet."""

from __future__ import annotations

from durable_app.blueprint import Blueprint
from durable_app.calls import call
from durable_app.sdk import Context, Steps
from mobexport import durable_names as names
from mobexport.pipeline.messages import AttemptStep, CommitExport, ConvertFile, EndStep, ProcessExport
from mobexport.retry_policy import UNTIL_DONE
from mobexport.wire import Outcome

blueprint = Blueprint()


@blueprint.orchestrator(ProcessExport)
def process_export(context: Context, given: ProcessExport) -> Steps:
    """Returns the last Outcome.

    Three may start it, also again after it finished: its first step leaves when the work is done.
    """
    export_id, attempt = given.export_id, given.attempt
    step = AttemptStep(export_id=export_id, attempt=attempt)
    outcome: Outcome = yield from call(context, names.BEGIN_PROCESSING, step)
    if outcome.value.get("done"):
        return outcome
    if not outcome.failure:
        outcome = yield from _convert_and_commit(context, given, outcome.value["files"])
    end = EndStep(export_id=export_id, attempt=attempt, outcome=outcome)
    yield from call(context, names.ANNOUNCE_PROCESSED, end, UNTIL_DONE)
    return outcome


def _convert_and_commit(context: Context, given: ProcessExport, files: int) -> Steps:
    export_id, attempt = given.export_id, given.attempt
    # One after the other: an instance has one core, and a conversion uses all of it.
    for index in range(files):
        step = ConvertFile(export_id=export_id, attempt=attempt, index=index)
        converted: Outcome = yield from call(context, names.CONVERT_FILE, step)
        if converted.failure:
            return converted
    commit = CommitExport(export_id=export_id, attempt=attempt, started_by=given.started_by)
    return (yield from call(context, names.COMMIT_EXPORT, commit))
