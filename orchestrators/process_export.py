"""`process_export`: from the collected files of one attempt to committed Parquet."""

from __future__ import annotations

from typing import Any

from durable import Blueprint, Context, Steps
from mobexport import durable_names as names
from mobexport.retry_policy import MUST_HAPPEN
from orchestrators.steps import call, side_by_side

blueprint = Blueprint()


@blueprint.orchestrator
def process_export(context: Context) -> Steps:
    """Input: `{version, exportId, attempt, startedBy?, trace?}`; returns the last Outcome.

    Three may start it, also again after it finished: its first step leaves when the work is done.
    """
    given = context.get_input()
    step = {"exportId": given["exportId"], "attempt": given["attempt"]}
    begun = yield from call(context, names.BEGIN_PROCESSING, step)
    if begun.get("ok", {}).get("done"):
        return begun
    outcome = yield from _convert_and_commit(context, step, begun, given.get("startedBy"))
    yield from call(context, names.ANNOUNCE_PROCESSED, {**step, "outcome": outcome}, MUST_HAPPEN)
    return outcome


def _convert_and_commit(
    context: Context, step: dict[str, Any], begun: dict[str, Any], started_by: str | None
) -> Steps:
    if "error" in begun:
        return begun
    # One after the other: an instance has one core, and a conversion uses all of it.
    large = begun["ok"].get("large", ())
    for index in range(begun["ok"]["files"]):
        convert = _convert_in_parts if index in large else _convert_whole
        converted = yield from convert(context, {**step, "index": index})
        if "error" in converted:
            return converted
    started = {"startedBy": started_by} if started_by else {}
    return (yield from call(context, names.COMMIT_EXPORT, {**step, **started}))


def _convert_whole(context: Context, file: dict[str, Any]) -> Steps:
    return (yield from call(context, names.CONVERT_FILE, file))


def _convert_in_parts(context: Context, file: dict[str, Any]) -> Steps:
    """A large file: its parts side by side, on as many instances; whole where it cannot be cut."""
    found = yield from call(context, names.FIND_PARTS, file)
    if "error" in found:
        return found
    if found["ok"]["parts"] == 1:
        return (yield from _convert_whole(context, file))
    parts, lanes = found["ok"]["parts"], found["ok"]["lanes"]
    return (yield from side_by_side(context, names.CONVERT_PART, file, parts, lanes))
