"""The pipeline's HTTP API for batches (many exports in one request), schedules, and days."""

from __future__ import annotations

from typing import TYPE_CHECKING

import azure.functions as func

from durable_app.blueprint import Blueprint
from durable_app.http import read_json, respond
from durable_app.sdk import Client
from durable_app.starting import begin_batch
from triggers.apis import CHANGE_PIPELINE, READ_PIPELINE

if TYPE_CHECKING:
    from mobexport.pipeline.requests.batches import Batch
    from mobexport.services import Services

blueprint = Blueprint()


@blueprint.client_route(CHANGE_PIPELINE, "batches", "POST")
async def request_batch(services: Services, req: func.HttpRequest, client: Client) -> func.HttpResponse:
    """202 when this call began the batch, 200 with the batch as it is otherwise."""
    body = read_json(req)
    batch, began = await begin_batch(client, lambda: services.request_batch(body))
    return _begun(services, batch, began)


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


@blueprint.client_route(CHANGE_PIPELINE, "schedules/{app}/run", "POST")
async def run_schedule(services: Services, req: func.HttpRequest, client: Client) -> func.HttpResponse:
    """202 when this call began the batch that the schedule would request, 200 with it otherwise, 404."""
    app = req.route_params["app"]
    batch, began = await begin_batch(client, lambda: services.run_schedule(app))
    return _begun(services, batch, began)


@blueprint.route(READ_PIPELINE, "apps/{app}/days", "GET")
def list_days(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """200 with raw files and exported rows of each type and day, 404."""
    from mobexport.clock import now

    return respond(200, services.day_map.show(req.route_params["app"], req.params, now()))


def _begun(services: Services, batch: Batch, began: bool) -> func.HttpResponse:
    from mobexport.pipeline.requests.views import show_batch

    shown = show_batch(batch, services.settings.own_api_url)
    headers = {"Location": shown["links"]["self"], "Retry-After": "10"}
    return respond(202 if began else 200, shown, headers)
