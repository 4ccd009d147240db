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
    """`{done}`; starts the processing if it was not started, or crashed."""
    instance = names.process_instance(step.ref)
    # In this order: an instance that ends between the two calls has written its outcome to the registry.
    going = await is_going(client, instance)
    if await asyncio.to_thread(services.processor.done, step.ref):
        return {"done": True}
    if not going:
        if step.round >= _MAX_ROUNDS:
            raise DataError(f"processing crashed again and again; see instance {instance}", code="Crashed")
        await start_processing(client, step.ref, "run", step.trace)
    return {"done": False}


@blueprint.client_activity(EndStep)
async def finish_export(services: Services, step: EndStep, client: Client) -> dict[str, Any]:
    """`{exportId, attempt, state, manifest}`; the one place where an attempt ends."""
    row = await asyncio.to_thread(services.finisher.finish, step.ref, step.outcome)
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
