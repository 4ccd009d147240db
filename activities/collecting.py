"""Activities that collect a job's files, see to it that they are processed, and end the attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from durable import Blueprint, Client, is_going, start_once
from mobexport import durable_names as names
from mobexport.telemetry.logs import get_logger

if TYPE_CHECKING:
    from mobexport.pipeline.registry.export_row import ExportRow

blueprint = Blueprint()
_log = get_logger(__name__)

# A processing instance that crashed this often is a bug, not bad luck.
_MAX_ROUNDS = 5
# What the alert of infra/modules/alerts.bicep looks for at the beginning of a log line; a test compares them.
FAILED_EXPORT: Final = "export failed:"


@blueprint.activity
def collect_files(step: dict[str, Any]) -> dict[str, Any]:
    """`{exportId, attempt, acceptNone}` → `{files}`, `{pending}` or `{none}`."""
    from mobexport import app

    return app.collector(step["exportId"]).collect(
        step["exportId"], step["attempt"], accept_none=step["acceptNone"]
    )


@blueprint.client_activity
async def ensure_processing_started(step: dict[str, Any], client: Client) -> dict[str, Any]:
    """`{exportId, attempt, round}` → `{done}`; starts the processing if nobody did, or it crashed."""
    import asyncio

    from mobexport import app

    export_id, attempt = step["exportId"], step["attempt"]
    instance = names.process_instance(export_id, attempt)
    # Asked in this order: an instance that ended before the second question has said in the registry how.
    going = await is_going(client, instance)
    if await asyncio.to_thread(app.processing_done, export_id, attempt):
        return {"done": True}
    if not going:
        if step["round"] >= _MAX_ROUNDS:
            app.raise_processing_crashed(instance)
        payload = processing_input(export_id, attempt, "run")
        await start_once(client, names.PROCESS_EXPORT, instance, payload)
    return {"done": False}


@blueprint.client_activity
async def finish_export(step: dict[str, Any], client: Client) -> dict[str, Any]:
    """`{exportId, attempt, outcome}` → `{state, manifest, …}`; the one place where an attempt ends."""
    import asyncio

    from mobexport import app

    export_id, attempt = step["exportId"], step["attempt"]
    row = await asyncio.to_thread(app.finisher().finish, export_id, attempt, step["outcome"])
    if error := row.error:
        _log_failure(row, error)
    await start_deliveries(client, row)
    return {"exportId": export_id, "attempt": attempt, "state": str(row.state), "manifest": row.manifest}


def _log_failure(row: ExportRow, error: Mapping[str, Any]) -> None:
    from mobexport.redact import redact

    if str(row.state) in ("Failed", "TimedOut"):
        _log.error(
            "%s %s attempt %d %s: %s: %s",
            *(FAILED_EXPORT, row.id, row.attempt, row.state, error["code"], redact(error["message"])),
        )


async def start_deliveries(client: Client, row: ExportRow) -> None:
    """Starts `deliver_notification` for every notification that is owed, unless it is going."""
    for attempt, target in row.owed:
        instance = names.notify_instance(row.id, attempt, target)
        payload = {"version": 1, "exportId": row.id, "attempt": attempt, "target": target, "trace": row.trace}
        await start_once(client, names.DELIVER_NOTIFICATION, instance, payload)


def processing_input(
    export_id: str, attempt: int, started_by: str, trace: str | None = None
) -> dict[str, Any]:
    """Input of `process_export`; `started_by` is for people, and says whether the blob trigger works."""
    return {
        "version": 1,
        "exportId": export_id,
        "attempt": attempt,
        "startedBy": started_by,
        "trace": trace,
    }
