"""Advance batches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from durable_app.blueprint import Blueprint
from durable_app.sdk import Client
from durable_app.starting import start_run
from mobexport.pipeline.messages import AdvanceBatch

if TYPE_CHECKING:
    from mobexport.services import Services

blueprint = Blueprint()


@blueprint.client_activity(AdvanceBatch)
async def advance_batch(services: Services, step: AdvanceBatch, client: Client) -> dict[str, Any]:
    """`{ended, moved, counts}`: notes ended exports, and begins as many as may run."""
    before = await asyncio.to_thread(services.batches.get, step.batch_id)
    batch, starting = await asyncio.to_thread(services.batches.advance, step.batch_id)
    for row in starting:
        await start_run(client, services, row)
    moved = before.counts != batch.counts
    return {"ended": batch.ended_at is not None, "moved": moved, "counts": batch.counts}
