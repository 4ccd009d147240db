"""The description of both APIs: for programs, and as a page."""

from __future__ import annotations

from typing import Final

import azure.functions as func

from durable_app.blueprint import Blueprint
from durable_app.http import respond

blueprint = Blueprint()

_HEADERS: Final = {
    # The page has no script and loads nothing; its one style stands in it.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@blueprint.open_route("openapi.json", "GET")
def get_openapi() -> func.HttpResponse:
    """200 with the OpenAPI document. It says nothing about this app but what its code does."""
    from mobexport.openapi import describe

    return respond(200, describe())


@blueprint.open_route("docs", "GET")
def get_api_docs() -> func.HttpResponse:
    """200 with the same as a page."""
    from mobexport.openapi import describe
    from mobexport.pages.api_docs import render

    return func.HttpResponse(render(describe()), headers=_HEADERS, mimetype="text/html", charset="utf-8")
