"""Post a notification to a service over HTTP: the status of its answer decides what follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind

from mobexport.failure_policy import Decision, Peer, as_error, on_status
from mobexport.http_calls import CallFailed, call
from mobexport.telemetry import tracing

SECONDS: Final = 30.0


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    to: str,
    peer: Peer,
    remedies: Mapping[int, str] | None = None,
    renewed: Callable[[], Mapping[str, str]] | None = None,
) -> None:
    """One POST; redirects are not followed, and of the answer nothing but its status is read.

    `to` is what messages call the service: never its URL, which may be a secret. `remedies` say by status
    what somebody has to do. `renewed` makes headers with a new token, for one more try after a 401.
    Raises RemoteError or ConfigError.
    """
    # Host alone: many a URL has its secret in the path.
    about: dict[str, str | int] = {"server.address": urlsplit(url).hostname or ""}
    with tracing.span(f"POST {to.removeprefix('the ')}", kind=SpanKind.CLIENT, attributes=about) as span:
        sent = {**headers, **tracing.headers()}
        try:
            answer = call("POST", url, seconds=SECONDS, most=None, data=body, headers=sent)
        except CallFailed as failed:
            raise as_error(failed.decision, f"{to} cannot be reached: {failed.reason}") from None
        status = answer.status
        span.set_attribute("http.response.status_code", status)
        if 200 <= status < 300:
            return
        decision = on_status(status, peer)
        if decision is not Decision.REFRESH_TOKEN or renewed is None:
            message = f"{to} answered HTTP {status}"
            if remedy := (remedies or {}).get(status):
                message += f": {remedy}"
            raise as_error(decision, message, status=status, retry_after=answer.retry_after)
    post(url, body, renewed(), to=to, peer=peer, remedies=remedies)
