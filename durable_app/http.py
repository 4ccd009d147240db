"""HTTP for functions: the rules of an API, JSON in and out, errors as problem details, spans."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import azure.functions as func

from mobexport.errors import MobexportError, Problem, RemoteError, RequestError, Unavailable
from mobexport.redact import redact
from mobexport.telemetry import tracing
from mobexport.telemetry.entry import function_span
from mobexport.telemetry.logs import get_logger

if TYPE_CHECKING:
    from mobexport.services import Services

_log = get_logger(__name__)

MAX_BODY = 1024 * 1024
# Seconds to wait where a failure that may pass does not say how long.
_RETRY_AFTER = 5


@dataclass(frozen=True)
class Api:
    """Rules that all routes of one API share."""

    check: Callable[[Services, func.HttpRequest], None]
    """Raises a MobexportError unless this app serves that caller; may block."""
    error: Callable[[MobexportError], func.HttpResponse]
    """The answer to a call that failed."""
    anonymous: bool = False
    """Whether the host lets calls without a function key pass."""


def read_json(req: func.HttpRequest) -> Any:
    """The request's JSON body. Raises RequestError, with the place, if it is too large or unfit."""
    from mobexport.untrusted import Unfit, parse_json

    body = req.get_body()
    if not body:
        # The host hands on an empty body where it came in chunks.
        raise RequestError("the body is empty: send JSON, with a Content-Length")
    try:
        return parse_json(body, MAX_BODY)
    except Unfit as error:
        where = Problem(error.place or "body", error.rule)
        raise RequestError(f"the body {error}", problems=[where]) from None


def respond(status: int, body: Any, headers: dict[str, str] | None = None) -> func.HttpResponse:
    """A JSON answer."""
    return func.HttpResponse(_encode(body), status_code=status, headers=headers, mimetype="application/json")


def _encode(body: Any) -> bytes:
    # What was stored before there was a gate for it must not take the rest of a list with it.
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def next_page(options: Mapping[str, str], token: str) -> str:
    """The query of a list's next page; without a function key, which never stands in a link."""
    kept = {name: value for name, value in options.items() if name.lower() not in ("continuation", "code")}
    return urlencode({**kept, "continuation": token})


def status_of(error: MobexportError) -> int:
    """HTTP status of an error."""
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
        if error.more:
            body["moreProblems"] = error.more
    return func.HttpResponse(
        _encode(body),
        status_code=status,
        headers=headers_of(error),
        mimetype="application/problem+json",
    )


def as_known(error: Exception) -> MobexportError:
    """Any failure of a request as an error for the caller; an unexpected one is logged, redacted."""
    from mobexport.storage import known_error

    known = known_error(error)
    if known is None:
        _log.error("request failed\n%s", redact("".join(traceback.format_exception(error))))
        return MobexportError("an unexpected failure; the log has the details", code="InternalError")
    return known


@contextmanager
def request_span(
    name: str, req: func.HttpRequest, context: Any
) -> Iterator[Callable[[func.HttpResponse], func.HttpResponse]]:
    """A span for a request, in the trace of the host's own or of the caller's `traceparent`.

    The answer goes through what it yields, which marks the span as failed if it is a 5xx.
    """

    def answered(response: func.HttpResponse) -> func.HttpResponse:
        if response.status_code >= 500:
            tracing.fail(str(response.status_code))
        return response

    carried = req.headers.get(tracing.TRACEPARENT)
    with function_span(name, req.route_params, carried=carried, invocation=context):
        yield answered
