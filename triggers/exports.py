"""The pipeline's HTTP API: request an export, look at it, cancel it; health."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

import azure.functions as func

from durable import Blueprint, Client, start_once, wake
from durable import registered as registered_names
from mobexport import durable_names as names
from mobexport.telemetry.logs import note
from triggers.http import as_known, base_url, check_signed, problem, read_json, respond
from triggers.tracing import traced

blueprint = Blueprint()


@blueprint.http("exports", "POST")
@blueprint.with_client
@traced
async def request_export(req: func.HttpRequest, client: Any) -> func.HttpResponse:
    """202 when this call began an attempt, 200 with the export as it is otherwise."""
    try:
        return await _request(req, client)
    except Exception as error:  # noqa: BLE001 - every failure becomes an answer
        return problem(as_known(error))


async def _request(req: func.HttpRequest, client: Client) -> func.HttpResponse:
    from mobexport import app
    from mobexport.pipeline.registry.states import State
    from mobexport.pipeline.requests.views import show_export

    check_signed(req)
    row, began = await asyncio.to_thread(app.request_export, read_json(req))
    note(exportId=row.id, attempt=row.attempt)
    if row.state is State.REQUESTED:
        # Also for a request that found it: the call that made the row may have died before this line.
        instance = names.run_instance(row.id, row.attempt)
        await start_once(client, names.RUN_EXPORT, instance, app.run_input(row))
    shown = show_export(row, base_url(req, "exports"))
    headers = {"Location": shown["links"]["self"], "Retry-After": "5"}
    return respond(202 if began else 200, shown, headers)


@blueprint.http("exports", "GET")
def list_exports(req: func.HttpRequest) -> func.HttpResponse:
    """200 with a page of exports, by id; `links.next` while there are more."""
    from mobexport import app
    from mobexport.pipeline.requests.views import show_export

    try:
        base = base_url(req, "exports")
        rows, token = app.list_exports(req.params)
        links = {}
        if token:
            kept = {
                name: value
                for name, value in req.params.items()
                if name.lower() not in ("continuation", "code")
            }
            links["next"] = f"{base}/exports?{urlencode({**kept, 'continuation': token})}"
        return respond(200, {"exports": [show_export(row, base) for row in rows], "links": links})
    except Exception as error:  # noqa: BLE001 - every failure becomes an answer
        return problem(as_known(error))


@blueprint.http("exports/{exportId}", "GET")
@traced
def get_export(req: func.HttpRequest) -> func.HttpResponse:
    """200 with the export, 404."""
    from mobexport import app
    from mobexport.pipeline.requests.views import show_export

    try:
        row = app.registry().get(req.route_params["exportId"])
        return respond(200, show_export(row, base_url(req, "exports")))
    except Exception as error:  # noqa: BLE001 - every failure becomes an answer
        return problem(as_known(error))


@blueprint.http("exports/{exportId}/cancel", "POST")
@blueprint.with_client
@traced
async def cancel_export(req: func.HttpRequest, client: Any) -> func.HttpResponse:
    """202 once the flag is set; 409 when it is too late. The events only wake the wait up."""
    from mobexport import app
    from mobexport.pipeline.requests.views import show_export

    try:
        check_signed(req)
        row = await asyncio.to_thread(app.registry().request_cancel, req.route_params["exportId"])
        for instance in (names.run_instance(row.id, row.attempt), names.poll_instance(row.id, row.attempt)):
            await wake(client, instance, names.CANCEL)
        return respond(202, show_export(row, base_url(req, "exports")))
    except Exception as error:  # noqa: BLE001 - every failure becomes an answer
        return problem(as_known(error))


@blueprint.http("health", "GET", anonymous=True)
def health(req: func.HttpRequest) -> func.HttpResponse:
    """200 when all is well, 503 with what is not."""
    del req
    from mobexport.health import check_health

    found = check_health(_check_indexing)
    return respond(200 if found["status"] == "ok" else 503, found)


def _check_indexing() -> None:
    from mobexport.errors import ConfigError

    missing = (names.ORCHESTRATORS | names.ACTIVITIES) - registered_names
    if missing:
        raise ConfigError(f"not indexed, so that calls of them would hang: {', '.join(sorted(missing))}")
