"""The activity that carries a batch on."""

from __future__ import annotations

import asyncio
from typing import Any

from durable import Blueprint, Client, start_once
from mobexport import durable_names as names

blueprint = Blueprint()


@blueprint.client_activity
async def advance_batch(step: dict[str, Any], client: Client) -> dict[str, Any]:
    """`{batchId}` → `{ended, moved, counts}`: notes what ended, begins as many exports as may run."""
    from mobexport import app

    before = await asyncio.to_thread(app.batches().get, step["batchId"])
    batch, starting = await asyncio.to_thread(app.batches().advance, step["batchId"])
    for row in starting:
        await start_once(
            client, names.RUN_EXPORT, names.run_instance(row.id, row.attempt), app.run_input(row)
        )
    moved = before.counts != batch.counts
    return {"ended": batch.ended_at is not None, "moved": moved, "counts": batch.counts}
