"""Timers: the tick, the purge."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from azure.durable_functions import OrchestrationRuntimeStatus

from durable_app.blueprint import Blueprint
from durable_app.healing import heal
from durable_app.sdk import Client
from durable_app.starting import start_batch
from mobexport.telemetry.logs import get_logger

if TYPE_CHECKING:
    from mobexport.services import Services

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
async def tick(services: Services, client: Client) -> None:
    """Every five minutes: requests the exports that are due, and starts again what was lost."""
    from mobexport.clock import now
    from mobexport.services import config_notes

    for note in await asyncio.to_thread(config_notes):
        _log.warning("%s", note)
    if services.runs_pipeline:
        batches = iter(services.scheduler.due(now()))
        while batch := await asyncio.to_thread(next, batches, None):
            if batch.ended_at is None:
                await start_batch(client, batch.id)
    await heal(services, client, now())


@blueprint.timer("0 20 2 * * *")
async def purge(services: Services, client: Client) -> None:
    """Deletes old data, once a day, and keeps up the tables."""
    from mobexport.clock import now

    settings = services.settings
    await purge_history(client, now() - timedelta(days=settings.history_days))
    marks = await asyncio.to_thread(services.steps.forget, now() - timedelta(days=settings.landing_days))
    done = {"marks": marks}
    if services.runs_pipeline:
        done |= await asyncio.to_thread(services.purger.purge, now())
    _log.info("purged: %s", done)


async def purge_history(client: Client, before: datetime) -> None:
    """Purges Durable's history of instances that began before that time and have ended, a day at a time: one
    large purge would exceed the time limit of its request. After a long downtime the oldest go last."""
    for number in range(_SLICES):
        end = before - timedelta(days=number)
        await client.purge_instance_history_by(end - timedelta(days=1), end, _ENDED)
    oldest = before - timedelta(days=_SLICES)
    await client.purge_instance_history_by(_LONG_AGO, oldest, _ENDED)
