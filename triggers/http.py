"""What HTTP functions share: JSON in and out, errors as problem details or in the contract's shape."""

from __future__ import annotations

import json
import math
import time
import traceback
from typing import Any

import azure.functions as func

from mobexport.errors import MobexportError, RemoteError, RequestError, Unavailable
from mobexport.redact import redact
from mobexport.telemetry.logs import get_logger

_log = get_logger(__name__)

MAX_BODY = 1024 * 1024
# Seconds to wait where a failure that may pass does not say how long.
_RETRY_AFTER = 5


def read_json(req: func.HttpRequest) -> Any:
    """The request's JSON body. Raises RequestError if it is too large or no JSON."""
    body = req.get_body()
    if len(body) > MAX_BODY:
        raise RequestError("the body is larger than 1 MiB")
    if not body:
        # The host hands on an empty body where it came in chunks.
        raise RequestError("the body is empty: send JSON, with a Content-Length")
    try:
        return json.loads(body)
    except ValueError:
        raise RequestError("the body is not valid JSON") from None


def check_signed(req: func.HttpRequest) -> None:
    """Raises Unauthorized unless the call is signed, if a secret is set."""
    from mobexport.settings import get_settings
    from mobexport.standard_webhooks import check

    secret = get_settings().request_signing_secret
    if secret is not None:
        headers = {name.lower(): value for name, value in req.headers.items()}
        check(
            secret.get_secret_value(), "REQUEST_SIGNING_SECRET", headers, req.get_body() or b"", time.time()
        )


def respond(status: int, body: Any, headers: dict[str, str] | None = None) -> func.HttpResponse:
    """A JSON answer."""
    text = json.dumps(body, ensure_ascii=False)
    return func.HttpResponse(text, status_code=status, headers=headers, mimetype="application/json")


def status_of(error: MobexportError) -> int:
    """HTTP status that an error stands for."""
    if isinstance(error, RequestError):
        return error.status
    if isinstance(error, Unavailable | RemoteError) or error.retryable:
        return 503
    return 500


def headers_of(error: MobexportError) -> dict[str, str]:
    """Headers that go with an error: how to authenticate, and how many seconds to wait."""
    headers = {}
    if challenge := getattr(error, "challenge", None):
        headers["WWW-Authenticate"] = str(challenge)
    wait = getattr(error, "retry_after", None)
    if wait is None and error.retryable:
        wait = _RETRY_AFTER
    if wait is not None:
        headers["Retry-After"] = str(math.ceil(wait))
    return headers


def problem(error: MobexportError) -> func.HttpResponse:
    """Problem details (RFC 9457); `problems` names every field that is wrong."""
    status = status_of(error)
    body: dict[str, Any] = {
        "type": f"urn:mobexport:{error.own_code}",
        "title": error.own_code,
        "status": status,
        "detail": redact(error.message),
    }
    if isinstance(error, RequestError) and error.problems:
        body["problems"] = [item.to_json() for item in error.problems]
    return func.HttpResponse(
        json.dumps(body, ensure_ascii=False),
        status_code=status,
        headers=headers_of(error),
        mimetype="application/problem+json",
    )


def as_known(error: Exception) -> MobexportError:
    """Any failure of a request as an error that may be shown; the unexpected is logged, redacted."""
    if isinstance(error, MobexportError):
        return error
    from mobexport.storage import as_remote_error

    known = as_remote_error(error)
    if known is None:
        _log.error("request failed\n%s", redact("".join(traceback.format_exception(error))))
        return MobexportError("an unexpected failure; the log has the details", code="InternalError")
    return known


def base_url(req: func.HttpRequest, below: str) -> str:
    """This request's URL up to, not with, the path segment `below`."""
    path: str = req.url.split("?", 1)[0]
    return path[: path.lower().rindex(f"/{below.lower()}")]
