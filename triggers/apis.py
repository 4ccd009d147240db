"""The two APIs of this app, and its status page: their callers and the form of their errors."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import azure.functions as func

from durable_app.http import Api, headers_of, problem, respond, status_of
from mobexport.errors import Forbidden, MobexportError
from mobexport.redact import redact

if TYPE_CHECKING:
    from mobexport.services import Services


def _check_role(services: Services, _: func.HttpRequest) -> None:
    services.check_pipeline_role()


def _check_signed(services: Services, req: func.HttpRequest) -> None:
    """If a secret is set: raises Unauthorized unless the call is signed, Conflict if it came before."""
    from mobexport.standard_webhooks import call_content, check

    services.check_pipeline_role()
    secret = services.settings.request_signing_secret
    if secret is not None:
        headers = {name.lower(): value for name, value in req.headers.items()}
        content = call_content(req.method, urlsplit(req.url).path, req.get_body() or b"")
        message_id = check(secret.get_secret_value(), "REQUEST_SIGNING_SECRET", headers, content, time.time())
        services.signed_calls.admit(message_id)


def _check_caller(services: Services, req: func.HttpRequest) -> None:
    """The caller, then the version of the API."""
    from mobexport.contract import check_api_version

    services.admit_caller(req.headers.get("Authorization"), req.route_params["app"])
    check_api_version(req.params)


def _contract_error(error: MobexportError) -> func.HttpResponse:
    from mobexport.contract import error_body

    return respond(status_of(error), error_body(error.own_code, redact(error.message)), headers_of(error))


def _check_visitor(services: Services, req: func.HttpRequest) -> None:
    """Somebody who may see the status page; the role after that: a stranger learns nothing of it."""
    from mobexport.pages.access import admit

    admit(services.settings, req.headers)
    services.check_pipeline_role()


def _check_operator(services: Services, req: func.HttpRequest) -> None:
    from mobexport.pages.access import OPERATOR, admit

    if not admit(services.settings, req.headers).may_change:
        raise Forbidden(f"this is for the role {OPERATOR}; yours only looks")
    services.check_pipeline_role()


def _page_error(error: MobexportError) -> func.HttpResponse:
    from mobexport.pages.site import render

    status = status_of(error)
    page = render(
        "error",
        title=_TITLES.get(status, "This did not work"),
        detail=redact(error.message),
        sign_in=status == 401,
        back=status not in (401, 403),
    )
    headers = {**headers_of(error), **page.headers}
    # Nobody is asked for a token here, and browsers would show a dialog of their own.
    headers.pop("WWW-Authenticate", None)
    return func.HttpResponse(
        page.html, status_code=status, headers=headers, mimetype="text/html", charset="utf-8"
    )


_TITLES: Final = {
    400: "This cannot be done",
    401: "Sign in",
    403: "Not allowed",
    404: "Not found",
    409: "Too late, or too early",
    503: "Not now",
}

ANY = Api(lambda _services, _req: None, problem)
"""Neither of both: for what this app does not have."""
READ_PIPELINE = Api(_check_role, problem)
"""The pipeline's HTTP API, for calls that only read."""
CHANGE_PIPELINE = Api(_check_signed, problem)
"""The pipeline's HTTP API, for calls that request and cancel."""
PAGE = Api(_check_visitor, _page_error, anonymous=True)
"""The status page; ANONYMOUS to the host, since browsers send no function key."""
CHANGE_PAGE = Api(_check_operator, _page_error, anonymous=True)
"""Its forms."""
EXPORT_API = Api(_check_caller, _contract_error, anonymous=True)
"""The Export API; ANONYMOUS to the host, since official clients send no function key."""
