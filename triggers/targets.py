"""The pipeline's HTTP API for notification targets: test one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import azure.functions as func

from durable_app.blueprint import Blueprint
from durable_app.http import respond
from triggers.apis import CHANGE_PIPELINE

if TYPE_CHECKING:
    from mobexport.services import Services

blueprint = Blueprint()


@blueprint.route(CHANGE_PIPELINE, "targets/{target}/test", "POST")
def test_target(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """200 with whether a test event was delivered, and why not; 404."""
    return respond(200, services.test_target(req.route_params["target"]))
