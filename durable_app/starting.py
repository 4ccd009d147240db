"""Begin what was requested: start orchestrations under fixed ids, wake them, ask whether they are running.

Several callers may start the same orchestration, at any time and again: its id names its subject, a running
one is left alone, and one that has ended looks into the registry first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from durable_app.sdk import Client
from mobexport import durable_names as names
from mobexport.export_api.messages import ServeExportTask
from mobexport.pipeline.messages import DeliverNotification, ProcessExport, RunBatch
from mobexport.telemetry import tracing
from mobexport.telemetry.logs import get_logger, note
from mobexport.wire import AttemptRef, Message, TaskRef

if TYPE_CHECKING:
    from mobexport.pipeline.notify.undelivered import Notification
    from mobexport.pipeline.registry.export_row import ExportRow
    from mobexport.pipeline.requests.batches import Batch
    from mobexport.services import Services

_log = get_logger(__name__)


async def begin_export(client: Client, services: Services, body: Any) -> tuple[ExportRow, bool]:
    """Requests the export of a body and sees that it runs; whether this call began an attempt."""
    from mobexport.pipeline.registry.states import State

    row, began = await asyncio.to_thread(services.request_export, body)
    note(exportId=row.id, attempt=row.attempt)
    if row.state is State.REQUESTED:
        # Also for a request that found it: the call that made the row may have died before this line.
        await start_run(client, services, row)
    return row, began


async def begin_batch(client: Client, request: Callable[[], tuple[Batch, bool]]) -> tuple[Batch, bool]:
    """Makes a request of a batch and sees that it runs; whether this call began it."""
    batch, began = await asyncio.to_thread(request)
    note(batchId=batch.id)
    if batch.ended_at is None:
        # Also for a request that found it: the call that made the row may have died before this line.
        await start_batch(client, batch.id)
    return batch, began


async def cancel(client: Client, services: Services, export_id: str) -> ExportRow:
    """Sets the cancel flag of an export; the event only ends a wait early."""
    row = await asyncio.to_thread(services.registry.request_cancel, export_id)
    await wake(client, names.run_instance(row.ref), names.CANCEL)
    return row


async def resend(
    client: Client, services: Services, export_id: str, name: str
) -> tuple[ExportRow, Notification]:
    """Makes a failed notification pending again and sees that it is sent; both as they are then."""
    row, again = await asyncio.to_thread(services.notifications.resend, export_id, name)
    await start_delivery(client, row, again.attempt, again.name)
    return row, again


async def start_run(client: Client, services: Services, row: ExportRow) -> None:
    """Starts `run_export` for the row's attempt."""
    message = await asyncio.to_thread(services.run_message, row)
    await start_once(client, names.RUN_EXPORT, names.run_instance(row.ref), message)


async def start_processing(
    client: Client, ref: AttemptRef, started_by: str, trace: str | None = None
) -> None:
    """Starts `process_export`; `started_by` shows people whether the blob trigger works."""
    message = ProcessExport(export_id=ref.export_id, attempt=ref.attempt, started_by=started_by, trace=trace)
    await start_once(client, names.PROCESS_EXPORT, names.process_instance(ref), message)


async def start_deliveries(client: Client, row: ExportRow) -> None:
    """Starts `deliver_notification` for every pending delivery."""
    for attempt, target in row.pending_deliveries:
        await start_delivery(client, row, attempt, target)


async def start_delivery(client: Client, row: ExportRow, attempt: int, target: str) -> None:
    """Starts `deliver_notification` for one pending delivery."""
    instance = delivery_instance(row, attempt, target)
    message = DeliverNotification(export_id=row.id, attempt=attempt, target=target, trace=row.trace)
    await start_once(client, names.DELIVER_NOTIFICATION, instance, message)


def delivery_instance(row: ExportRow, attempt: int, target: str) -> str:
    """Instance of `deliver_notification` for one pending delivery."""
    delivery = row.delivery(target, attempt) or {}
    return names.notify_instance(AttemptRef(row.id, attempt), target, int(delivery.get("resent", 0)))


async def start_batch(client: Client, batch_id: str) -> None:
    """Starts `run_batch`."""
    await start_once(client, names.RUN_BATCH, names.batch_instance(batch_id), RunBatch(batch_id=batch_id))


async def start_task(client: Client, ref: TaskRef) -> None:
    """Starts `serve_export_task`."""
    message = ServeExportTask(app=ref.app, task_id=ref.task_id)
    await start_once(client, names.SERVE_EXPORT_TASK, names.task_instance(ref.task_id), message)


async def start_once(client: Client, name: str, instance_id: str, message: Message) -> None:
    """Starts an orchestration under a fixed id; one that is there already is left alone.

    It carries on the trace of its message, else the present one.
    """
    trace = message.trace or tracing.current()
    given = message.to_json() | ({"trace": trace} if trace else {})
    try:
        # The SDK hands the present span on to the host, whose own spans of the orchestration follow it.
        with tracing.within(trace):
            await client.start_new(name, instance_id, given)
    except Exception as error:
        # The host answers 409 for a running id; the SDK turns that into a text.
        if "already exists" not in str(error):
            raise


async def is_going(client: Client, instance_id: str) -> bool:
    """Whether there is such an instance and it has not ended."""
    status = await client.get_status(instance_id)
    state = getattr(getattr(status, "runtime_status", None), "value", None)
    return state in ("Running", "Pending", "ContinuedAsNew", "Suspended")


async def wake(client: Client, instance_id: str, event: str) -> None:
    """Raises an event as a hint: an instance that is missing, or has ended, needs none.

    It has no data: that would arrive as text from this client, and as an object from Durable's HTTP API.
    """
    try:
        await client.raise_event(instance_id, event, None)
    except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions
        _log.info("no instance %s to wake (%s)", instance_id, type(error).__name__)
