"""The pipeline's HTTP API: request an export, look at it, cancel it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import azure.functions as func

from durable_app.blueprint import Blueprint
from durable_app.http import next_page, read_json, respond
from durable_app.sdk import Client
from durable_app.starting import begin_export, cancel
from triggers.apis import CHANGE_PIPELINE, READ_PIPELINE

if TYPE_CHECKING:
    from mobexport.services import Services

blueprint = Blueprint()


@blueprint.client_route(CHANGE_PIPELINE, "exports", "POST")
async def request_export(services: Services, req: func.HttpRequest, client: Client) -> func.HttpResponse:
    """202 when this call began an attempt, 200 with the export as it is otherwise."""
    from mobexport.pipeline.requests.views import show_export

    row, began = await begin_export(client, services, read_json(req))
    shown = show_export(row, services.settings.own_api_url)
    headers = {"Location": shown["links"]["self"], "Retry-After": "5"}
    return respond(202 if began else 200, shown, headers)


@blueprint.route(READ_PIPELINE, "exports", "GET")
def list_exports(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """200 with a page of exports, newest first; `links.next` while there are more.

    `unreadable` are the ids of exports whose rows hold what no row can, if there are any.
    """
    from mobexport.pipeline.requests.export_list import parse_list_query
    from mobexport.pipeline.requests.views import show_export

    base = services.settings.own_api_url
    rows, token, unreadable = services.registry.page(parse_list_query(req.params))
    links = {"next": f"{base}/exports?{next_page(req.params, token)}"} if token else {}
    body: dict[str, Any] = {"exports": [show_export(row, base) for row in rows], "links": links}
    if unreadable:
        body["unreadable"] = unreadable
    return respond(200, body)


@blueprint.route(READ_PIPELINE, "exports/{exportId}", "GET")
def get_export(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """200 with the export, 404."""
    from mobexport.pipeline.requests.views import show_export

    row = services.registry.get(req.route_params["exportId"])
    return respond(200, show_export(row, services.settings.own_api_url))


@blueprint.route(READ_PIPELINE, "exports/{exportId}/rejects", "GET")
def get_rejects(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """200 with the first rejects of the newest attempt, 404."""
    from mobexport.pipeline.requests.reject_samples import show_rejects

    row = services.registry.get(req.route_params["exportId"])
    return respond(200, show_rejects(services.storage, row))


@blueprint.client_route(CHANGE_PIPELINE, "exports/{exportId}/cancel", "POST")
async def cancel_export(services: Services, req: func.HttpRequest, client: Client) -> func.HttpResponse:
    """202 once the flag is set, 409 when it is too late."""
    from mobexport.pipeline.requests.views import show_export

    row = await cancel(client, services, req.route_params["exportId"])
    return respond(202, show_export(row, services.settings.own_api_url))
