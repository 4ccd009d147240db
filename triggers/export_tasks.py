"""The Export API's routes, as the specification `Microsoft.MobileEngagement` 2014-12-01 names them.

They are ANONYMOUS to the host, since official clients send no function key: callers are checked here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import azure.functions as func

from durable import Blueprint, Client, is_going, start_once
from mobexport import durable_names as names
from mobexport.telemetry.logs import get_logger, note
from triggers.http import as_known, base_url, headers_of, read_json, respond, status_of
from triggers.tracing import traced

blueprint = Blueprint()
_log = get_logger(__name__)

_ROUTE: Final = (
    "subscriptions/{subscriptionId}/resourceGroups/{resourceGroup}/providers/Microsoft.MobileEngagement"
    "/appcollections/{appCollection}/apps/{app}/devices/exportTasks"
)
# A task that is still Queued after this long was left behind by a crash between its row and its start.
_STALE: Final = timedelta(seconds=30)


@blueprint.http(_ROUTE, "GET", anonymous=True)
@traced
def list_export_tasks(req: func.HttpRequest) -> func.HttpResponse:
    """200 `{value, nextLink?}`."""
    from mobexport import app, contract

    def answer() -> func.HttpResponse:
        options = contract.parse_list_options(req.params)
        tasks = app.export_tasks()
        tasks.check_app(req.route_params["app"])
        page, more = tasks.registry.page(req.route_params["app"], options)
        body: dict[str, Any] = {"value": [task.to_result().to_json() for task in page]}
        if more:
            body["nextLink"] = _link(req.url, **options.next().to_query())
        return respond(200, body)

    return _checked(req, answer)


@blueprint.http(_ROUTE + "/{taskId}", "GET", anonymous=True)
@blueprint.with_client
@traced
async def get_export_task(req: func.HttpRequest, client: Any) -> func.HttpResponse:
    """200 with the task, 404. Starts a task that a crash left Queued."""
    from mobexport import app
    from mobexport.clock import now, stamp
    from mobexport.contract import TaskState

    def find() -> Any:
        _check(req)
        return app.export_tasks().registry.get(req.route_params["app"], req.route_params["taskId"])

    try:
        task = await asyncio.to_thread(find)
        if task.state is TaskState.QUEUED and task.date_created < stamp(now() - _STALE):
            await _start(client, task.app, task.id)
        return respond(200, task.to_result().to_json())
    except Exception as error:  # noqa: BLE001 - every failure becomes an answer
        return _error(error)


@blueprint.http(_ROUTE + "/{taskType}", "POST", anonymous=True)
@blueprint.with_client
@traced
async def create_export_task(req: func.HttpRequest, client: Any) -> func.HttpResponse:
    """202 with Location and the task, Queued."""
    from mobexport import app

    def create() -> Any:
        _check(req)
        params = req.route_params
        return app.export_tasks().create(params["app"], params["taskType"], read_json(req))

    try:
        task = await asyncio.to_thread(create)
        note(taskId=task.id)
        await _start(client, task.app, task.id)
        location = _link(f"{base_url(req, 'exportTasks')}/exportTasks/{task.id}")
        return respond(202, task.to_result().to_json(), {"Location": location})
    except Exception as error:  # noqa: BLE001 - every failure becomes an answer
        return _error(error)


async def start_left_tasks(client: Client) -> None:
    """Starts every task again whose instance was never started, or is gone without having ended it."""
    from mobexport import app
    from mobexport.clock import now

    for task in await asyncio.to_thread(lambda: list(app.export_tasks().registry.unended(now() - _STALE))):
        if not await is_going(client, names.task_instance(task.id)):
            _log.warning("export task %s was left in state %s; it goes on", task.id, task.state)
            await _start(client, task.app, task.id)


async def _start(client: Client, app_name: str, task_id: str) -> None:
    payload = {"version": 1, "app": app_name, "taskId": task_id}
    await start_once(client, names.SERVE_EXPORT_TASK, names.task_instance(task_id), payload)


def _checked(req: func.HttpRequest, answer: Callable[[], func.HttpResponse]) -> func.HttpResponse:
    try:
        _check(req)
        return answer()
    except Exception as error:  # noqa: BLE001 - every failure becomes an answer
        return _error(error)


def _check(req: func.HttpRequest) -> None:
    """The caller, then the version of the API. May wait for Entra ID's keys: never on the event loop."""
    from mobexport import app
    from mobexport.contract import check_api_version

    app.admit_caller(req.headers.get("Authorization"), req.route_params["app"])
    check_api_version(req.params)


def _error(error: Exception) -> func.HttpResponse:
    from mobexport.contract import error_body
    from mobexport.redact import redact

    known = as_known(error)
    return respond(status_of(known), error_body(known.own_code, redact(known.message)), headers_of(known))


def _link(url: str, **query: str) -> str:
    """An URL of this API: of the query only what the contract knows, since a caller's may hold secrets."""
    from mobexport.contract import API_VERSION

    parts = urlsplit(url)
    known = urlencode({"api-version": API_VERSION, **query}, safe="$")
    return urlunsplit(parts._replace(query=known, fragment=""))
