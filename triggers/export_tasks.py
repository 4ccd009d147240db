"""The Export API's routes, as the specification `Microsoft.MobileEngagement` 2014-12-01 names them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import azure.functions as func

from durable_app.blueprint import Blueprint
from durable_app.http import read_json, respond
from durable_app.sdk import Client
from durable_app.starting import start_task
from mobexport.telemetry.logs import note
from triggers.apis import EXPORT_API

if TYPE_CHECKING:
    from mobexport.services import Services

blueprint = Blueprint()

_ROUTE: Final = (
    "subscriptions/{subscriptionId}/resourceGroups/{resourceGroup}/providers/Microsoft.MobileEngagement"
    "/appcollections/{appCollection}/apps/{app}/devices/exportTasks"
)
# A task that is still Queued after this long was left behind by a crash between its row and its start.
_STALE: Final = timedelta(seconds=30)


@blueprint.route(EXPORT_API, _ROUTE, "GET")
def list_export_tasks(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """200 `{value, nextLink?}`."""
    from mobexport import contract

    options = contract.parse_list_options(req.params)
    app = req.route_params["app"]
    services.export_tasks.check_app(app)
    page, more = services.tasks.page(app, options)
    body: dict[str, Any] = {"value": [task.to_result().to_json() for task in page]}
    if more:
        body["nextLink"] = _link(services, req, **options.next().to_query())
    return respond(200, body)


@blueprint.client_route(EXPORT_API, _ROUTE + "/{taskId}", "GET")
async def get_export_task(services: Services, req: func.HttpRequest, client: Client) -> func.HttpResponse:
    """200 with the task, 404. Starts a task that a crash left Queued."""
    from mobexport.clock import now, stamp
    from mobexport.contract import TaskState

    params = req.route_params
    task = await asyncio.to_thread(services.tasks.get, params["app"], params["taskId"])
    if task.state is TaskState.QUEUED and task.date_created < stamp(now() - _STALE):
        await start_task(client, task.ref)
    return respond(200, task.to_result().to_json())


@blueprint.client_route(EXPORT_API, _ROUTE + "/{taskType}", "POST")
async def create_export_task(services: Services, req: func.HttpRequest, client: Client) -> func.HttpResponse:
    """202 with Location and the task, Queued."""
    params = req.route_params
    task = await asyncio.to_thread(
        services.export_tasks.create, params["app"], params["taskType"], read_json(req)
    )
    note(taskId=task.id)
    await start_task(client, task.ref)
    location = _link(services, req, task.id)
    return respond(202, task.to_result().to_json(), {"Location": location})


def _link(services: Services, req: func.HttpRequest, task_id: str = "", **query: str) -> str:
    """A URL of this API, of the tasks or one of them, with contract parameters only.

    The request's path below the configured host: its `Host` is the caller's word, its query may hold secrets.
    """
    from mobexport.contract import API_VERSION

    own = urlsplit(services.settings.own_api_url)
    path = urlsplit(req.url).path
    if task_id:
        path = f"{path.rpartition('/')[0]}/{task_id}"
    known = urlencode({"api-version": API_VERSION, **query}, safe="$")
    return urlunsplit(own._replace(path=path, query=known))
