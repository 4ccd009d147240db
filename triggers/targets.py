"""The pipeline's HTTP API for notifications: test a target, list what was not delivered, send it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import azure.functions as func

from durable_app.blueprint import Blueprint
from durable_app.http import next_page, respond
from durable_app.sdk import Client
from durable_app.starting import resend
from triggers.apis import CHANGE_PIPELINE, READ_PIPELINE

if TYPE_CHECKING:
    from mobexport.services import Services

blueprint = Blueprint()


@blueprint.route(CHANGE_PIPELINE, "targets/{target}/test", "POST")
def test_target(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """200 with whether a test event was delivered, and why not; 404."""
    return respond(200, services.test_target(req.route_params["target"]))


@blueprint.route(READ_PIPELINE, "notifications", "GET")
def list_notifications(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """200 with a page of notifications that failed, or are pending; `links.next` while there are more."""
    from mobexport.pipeline.notify.undelivered import parse_query, show_notification

    base = services.settings.own_api_url
    page = services.notifications.page(parse_query(req.params))
    body: dict[str, Any] = {
        "notifications": [show_notification(one, base) for one in page.found],
        "links": {},
    }
    if page.token:
        body["links"]["next"] = f"{base}/notifications?{next_page(req.params, page.token)}"
    if page.unreadable:
        body["unreadable"] = page.unreadable
    return respond(200, body)


@blueprint.client_route(CHANGE_PIPELINE, "exports/{exportId}/notifications/{notification}/resend", "POST")
async def resend_notification(services: Services, req: func.HttpRequest, client: Client) -> func.HttpResponse:
    """202 once a failed notification is pending again; 404, 409 with the reason."""
    from mobexport.pipeline.notify.undelivered import show_notification

    parts = req.route_params
    _, again = await resend(client, services, parts["exportId"], parts["notification"])
    return respond(202, show_notification(again, services.settings.own_api_url))
