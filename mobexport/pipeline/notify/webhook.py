"""Notifications as a signed POST, as https://www.standardwebhooks.com (specification 1.0) says."""

from __future__ import annotations

import binascii
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from opentelemetry.trace import SpanKind

from mobexport.config import WebhookTarget
from mobexport.errors import ConfigError
from mobexport.failure_policy import Decision, Peer, as_error, on_exception, on_status
from mobexport.settings import is_loopback
from mobexport.standard_webhooks import sign
from mobexport.storage import DataStorage
from mobexport.telemetry import tracing

_TIMEOUT = (5, 20)


def send(
    target: WebhookTarget, event: Mapping[str, Any], environ: Mapping[str, str], _storage: DataStorage
) -> None:
    """One POST. Raises Transient or Throttled to try again, Rejected or ConfigError if that is useless."""
    body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    timestamp = int(time.time())
    try:
        signature = sign(target.secret(environ).get_secret_value(), str(event["id"]), timestamp, body)
    except (ValueError, binascii.Error):
        raise ConfigError(f"{target.secret_setting}: must be whsec_ followed by base64") from None
    headers = {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "webhook-id": str(event["id"]),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }
    url = str(target.url)
    # Host alone: many a webhook has its secret in the path.
    about: dict[str, str | int] = {"server.address": urlsplit(url).hostname or ""}
    with (
        tracing.span("POST webhook", kind=SpanKind.CLIENT, attributes=about) as span,
        requests.Session() as session,
    ):
        session.trust_env = not is_loopback(url)
        headers |= tracing.headers()
        try:
            # A redirect would carry the signed body to a host that nobody configured.
            answer = session.post(url, data=body, headers=headers, timeout=_TIMEOUT, allow_redirects=False)
        except requests.RequestException as error:
            message = f"the webhook cannot be reached: {type(error).__name__}"
            raise as_error(on_exception(error) or Decision.RETRY, message) from None
        status = answer.status_code
        span.set_attribute("http.response.status_code", status)
        if not 200 <= status < 300:
            raise as_error(
                on_status(status, Peer.WEBHOOK), f"the webhook answered HTTP {status}", status=status
            )
