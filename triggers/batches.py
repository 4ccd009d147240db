"""The pipeline's HTTP API for batches: many exports in one request, each with an outcome of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import azure.functions as func

from durable import Blueprint, Client, start_once
from mobexport import durable_names as names
from mobexport.telemetry.logs import note
from triggers.http import as_known, base_url, check_signed, problem, read_json, respond
from triggers.tracing import traced

blueprint = Blueprint()


@blueprint.http("batches", "POST")
@blueprint.with_client
@traced
async def request_batch(req: func.HttpRequest, client: Any) -> func.HttpResponse:
    """202 when this call began the batch, 200 with the batch as it is otherwise."""
    from mobexport import app
    from mobexport.pipeline.requests.views import show_batch

    try:
        check_signed(req)
        batch, began = await asyncio.to_thread(app.request_batch, read_json(req))
        note(batchId=batch.id)
        if batch.ended_at is None:
            # Also for a request that found it: the call that made the row may have died before this line.
            await start_batch(client, batch.id)
        shown = show_batch(batch, base_url(req, "batches"))
        headers = {"Location": shown["links"]["self"], "Retry-After": "10"}
        return respond(202 if began else 200, shown, headers)
    except Exception as error:  # noqa: BLE001 - every failure becomes an answer
        return problem(as_known(error))


@blueprint.http("batches/{batchId}", "GET")
@traced
def get_batch(req: func.HttpRequest) -> func.HttpResponse:
    """200 with the batch and the outcome of each export, 404."""
    from mobexport import app
    from mobexport.pipeline.requests.views import show_batch

    try:
        batch = app.batches().get(req.route_params["batchId"])
        return respond(200, show_batch(batch, base_url(req, "batches")))
    except Exception as error:  # noqa: BLE001 - every failure becomes an answer
        return problem(as_known(error))


async def start_batch(client: Client, batch_id: str) -> None:
    """Starts `run_batch`, unless it is going."""
    payload = {"version": 1, "batchId": batch_id, "idle": 0}
    await start_once(client, names.RUN_BATCH, names.batch_instance(batch_id), payload)
