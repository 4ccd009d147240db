"""Notifications as a signed POST, as https://www.standardwebhooks.com (specification 1.0) says."""

from __future__ import annotations

import binascii
import json
import time
from collections.abc import Mapping
from typing import Any

import requests

from mobexport.config import WebhookTarget
from mobexport.errors import ConfigError
from mobexport.retry_table import Decision, Speaker, as_error, on_exception, on_status
from mobexport.settings import is_loopback
from mobexport.standard_webhooks import sign
from mobexport.storage import DataStorage

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
    with requests.Session() as session:
        session.trust_env = not is_loopback(url)
        try:
            # A redirect would carry the signed body to a host that nobody configured.
            answer = session.post(url, data=body, headers=headers, timeout=_TIMEOUT, allow_redirects=False)
        except requests.RequestException as error:
            message = f"the webhook cannot be reached: {type(error).__name__}"
            raise as_error(on_exception(error) or Decision.RETRY, message) from None
    status = answer.status_code
    if not 200 <= status < 300:
        raise as_error(
            on_status(status, Speaker.WEBHOOK), f"the webhook answered HTTP {status}", status=status
        )
