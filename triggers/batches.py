"""The pipeline's HTTP API for batches, many exports in one request, and for schedules."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import azure.functions as func

from durable_app.blueprint import Blueprint
from durable_app.http import read_json, respond
from durable_app.sdk import Client
from durable_app.starting import start_batch
from mobexport.telemetry.logs import note
from triggers.apis import CHANGE_PIPELINE, READ_PIPELINE

if TYPE_CHECKING:
    from mobexport.services import Services

blueprint = Blueprint()


@blueprint.client_route(CHANGE_PIPELINE, "batches", "POST")
async def request_batch(services: Services, req: func.HttpRequest, client: Client) -> func.HttpResponse:
    """202 when this call began the batch, 200 with the batch as it is otherwise."""
    from mobexport.pipeline.requests.views import show_batch

    batch, began = await asyncio.to_thread(services.request_batch, read_json(req))
    note(batchId=batch.id)
    if batch.ended_at is None:
        # Also for a request that found it: the call that made the row may have died before this line.
        await start_batch(client, batch.id)
    shown = show_batch(batch, services.settings.own_api_url)
    headers = {"Location": shown["links"]["self"], "Retry-After": "10"}
    return respond(202 if began else 200, shown, headers)


@blueprint.route(READ_PIPELINE, "batches/{batchId}", "GET")
def get_batch(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """200 with the batch and the outcome of each export, 404."""
    from mobexport.pipeline.requests.views import show_batch

    batch = services.batches.get(req.route_params["batchId"])
    return respond(200, show_batch(batch, services.settings.own_api_url))


@blueprint.route(READ_PIPELINE, "schedules", "GET")
def list_schedules(services: Services, _req: func.HttpRequest) -> func.HttpResponse:
    """200 with each schedule of exports.toml, its last day and its next run."""
    from mobexport.clock import now

    return respond(200, {"schedules": services.scheduler.shown(now())})
