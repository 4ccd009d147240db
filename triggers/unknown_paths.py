"""Answers to paths and methods that no function of this app has: JSON instead of the host's empty page.

The host asks for a function key, as elsewhere: whoever tries paths without one does not wake the app.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import azure.functions as func

from durable_app.blueprint import Blueprint, routes
from durable_app.http import respond
from mobexport.errors import NotFound
from triggers.apis import ANY

if TYPE_CHECKING:
    from mobexport.services import Services

blueprint = Blueprint()

_EVERY = "{*path}"


@blueprint.route(ANY, _EVERY, "GET", "POST", "PUT", "PATCH", "DELETE")
def unknown_path(_services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """405 with `Allow` for a path of ours, else 404."""
    path = req.route_params.get("path") or ""
    methods = methods_of(path)
    if methods:
        detail = f"/{path[:200]} takes {' and '.join(methods)}, not {req.method}"
        body = {"type": "urn:mobexport:MethodNotAllowed", "title": "MethodNotAllowed", "status": 405}
        return respond(405, {**body, "detail": detail}, {"Allow": ", ".join(methods)})
    raise NotFound(f"there is no {req.method} /{path[:200]} here; the README lists what there is")


def methods_of(path: str) -> list[str]:
    """The methods that some function takes on a path below `/api`."""
    return sorted({method for route, method in routes if route != _EVERY and _fits(route, path)})


def _fits(route: str, path: str) -> bool:
    parts = (re.escape(part) if not part.startswith("{") else "[^/]+" for part in route.split("/"))
    return re.fullmatch("/".join(parts), path, re.IGNORECASE) is not None
