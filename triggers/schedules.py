"""Timers: exports that are due every day, what was left undone, and what may go."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import azure.functions as func
from azure.durable_functions import OrchestrationRuntimeStatus

from activities.collecting import start_deliveries
from durable import Blueprint, Client, is_going, start_once
from mobexport import durable_names as names
from mobexport.telemetry.logs import about_these, get_logger
from triggers.batches import start_batch
from triggers.export_tasks import start_left_tasks

blueprint = Blueprint()
_log = get_logger(__name__)

# Only what has ended: without a status, or with one that is not terminal, the host deletes running instances.
_ENDED: Final = [
    OrchestrationRuntimeStatus.Completed,
    OrchestrationRuntimeStatus.Failed,
    OrchestrationRuntimeStatus.Terminated,
]
_SLICES: Final = 30
_LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)


@blueprint.timer("0 */5 * * * *")
@blueprint.with_client
async def request_due_exports(timer: func.TimerRequest, client: Any) -> None:
    """Asks for what the schedules of exports.toml make due; looks every five minutes."""
    del timer
    from mobexport import app
    from mobexport.clock import now

    if app.runs_pipeline():
        batches = iter(app.scheduler().due(now()))
        while batch := await asyncio.to_thread(next, batches, None):
            if batch.ended_at is None:
                await start_batch(client, batch.id)


@blueprint.timer("30 */10 * * * *")
@blueprint.with_client
async def reconcile(timer: func.TimerRequest, client: Any) -> None:
    """Goes on with what hints, instances and crashes left undone."""
    del timer
    from mobexport import app
    from mobexport.clock import now

    if app.serves_export_api():
        await start_left_tasks(client)
    if not app.runs_pipeline():
        return
    quiet, owing = await asyncio.to_thread(app.reconciler().look, now())
    for row in quiet:
        instance = names.run_instance(row.id, row.attempt)
        if not await is_going(client, instance):
            with about_these({"exportId": row.id, "attempt": row.attempt}):
                _log.warning("export %s was left in state %s; it goes on", row.id, row.state)
            await start_once(client, names.RUN_EXPORT, instance, app.run_input(row))
    for row in owing:
        await start_deliveries(client, row)
    for batch in await asyncio.to_thread(app.batches().open_ids):
        await start_batch(client, batch)


@blueprint.timer("0 20 2 * * *")
@blueprint.with_client
async def purge(timer: func.TimerRequest, client: Any) -> None:
    """Deletes what is past its time, once a day."""
    del timer
    from mobexport import app
    from mobexport.clock import now

    if app.runs_pipeline():
        _log.info("purged: %s", await asyncio.to_thread(app.purger().purge, now()))
    await purge_history(client, now() - timedelta(days=app.history_days()))


async def purge_history(client: Client, before: datetime) -> None:
    """Purges Durable's history of what began before that time and has ended, a day at a time: one large purge
    would run for longer than its request may. What is older still, after a long downtime, goes last."""
    for number in range(_SLICES):
        end = before - timedelta(days=number)
        await client.purge_instance_history_by(end - timedelta(days=1), end, _ENDED)
    oldest = before - timedelta(days=_SLICES)
    await client.purge_instance_history_by(_LONG_AGO, oldest, _ENDED)
