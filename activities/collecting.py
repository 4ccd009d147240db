"""Collect a job's files, ensure that they are processed, end the attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from durable_app.blueprint import Blueprint
from durable_app.sdk import Client
from durable_app.starting import is_going, start_deliveries, start_processing
from mobexport import durable_names as names
from mobexport.errors import DataError
from mobexport.pipeline.messages import CollectFiles, EndStep, EnsureProcessing
from mobexport.redact import redact
from mobexport.telemetry.logs import get_logger
from mobexport.wire import AttemptRef, Outcome

if TYPE_CHECKING:
    from mobexport.pipeline.registry.export_row import ExportRow
    from mobexport.services import Services

blueprint = Blueprint()
_log = get_logger(__name__)

# A processing instance that crashed this often is a bug, not bad luck.
_MAX_ROUNDS = 5
# Start of the log line that the alert of infra/modules/alerts.bicep looks for; a test compares them.
FAILED_EXPORT: Final = "export failed:"


@blueprint.activity(CollectFiles)
def collect_files(services: Services, step: CollectFiles) -> dict[str, Any]:
    """`{files}`, `{pending}` or `{none}`."""
    return services.collector.collect(step.ref, accept_none=step.accept_none)


@blueprint.client_activity(EnsureProcessing)
async def ensure_processing_started(
    services: Services, step: EnsureProcessing, client: Client
) -> dict[str, Any]:
    """`{summary}` of an attempt that is processed, and is ended here; else `{}`: it is under way.

    Starts the processing if it was not started, or crashed.
    """
    ended = await _end_processed(services, step, client)
    if ended is None:
        instance = names.process_instance(step.ref)
        if await is_going(client, instance):
            return {}
        # It may have ended between the two looks; then its outcome is in the registry.
        ended = await _end_processed(services, step, client)
    if ended is not None:
        return {"summary": ended}
    if step.round >= _MAX_ROUNDS:
        raise DataError(f"processing crashed again and again; see instance {instance}", code="Crashed")
    await start_processing(client, step.ref, "run", step.trace)
    return {}


async def _end_processed(services: Services, step: EnsureProcessing, client: Client) -> dict[str, Any] | None:
    row = await asyncio.to_thread(services.registry.attempt, step.ref)
    if not services.processor.done(row):
        return None
    return await _finish(services, client, step.ref, Outcome(), row)


@blueprint.client_activity(EndStep)
async def finish_export(services: Services, step: EndStep, client: Client) -> dict[str, Any]:
    """`{exportId, attempt, state, manifest}`."""
    return await _finish(services, client, step.ref, step.outcome)


async def _finish(
    services: Services, client: Client, ref: AttemptRef, outcome: Outcome, row: ExportRow | None = None
) -> dict[str, Any]:
    """The one place where an attempt ends."""
    row = await asyncio.to_thread(services.finisher.finish, ref, outcome, row)
    if error := row.error:
        _log_failure(row, error)
    await start_deliveries(client, row)
    return {
        "exportId": row.id,
        "attempt": row.attempt,
        "state": str(row.state),
        "manifest": row.manifest,
    }


def _log_failure(row: ExportRow, error: Mapping[str, Any]) -> None:
    if str(row.state) in ("Failed", "TimedOut"):
        _log.error(
            "%s %s attempt %d %s: %s: %s",
            *(FAILED_EXPORT, row.id, row.attempt, row.state, error["code"], redact(error["message"])),
        )
