"""The health endpoint."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import azure.functions as func

from durable_app.blueprint import Blueprint, registered
from durable_app.http import respond
from mobexport import durable_names as names

if TYPE_CHECKING:
    from mobexport.health import Health

blueprint = Blueprint()


@blueprint.open_route("health", "GET")
def health() -> func.HttpResponse:
    """200 when all checks pass, 503 with the errors of the others."""
    found = _health().check()
    return respond(200 if found["status"] == "ok" else 503, found)


@lru_cache(maxsize=1)
def _health() -> Health:
    from mobexport.health import Health, app_checks
    from mobexport.services import config_notes

    return Health({"indexing": _check_indexing, **app_checks()}, notes=config_notes)


def _check_indexing() -> None:
    from mobexport.errors import ConfigError

    missing = (names.ORCHESTRATORS | names.ACTIVITIES) - registered
    if missing:
        raise ConfigError(f"not indexed, so that calls of them would hang: {', '.join(sorted(missing))}")
