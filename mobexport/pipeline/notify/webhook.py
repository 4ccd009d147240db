"""Notifications as a signed POST, as https://www.standardwebhooks.com (specification 1.0) says."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import requests

from mobexport.config import WebhookTarget
from mobexport.errors import ConfigError, Rejected, Throttled, Transient
from mobexport.settings import is_loopback
from mobexport.storage import DataStorage

_TIMEOUT = (5, 20)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`.

    Raises ValueError if the secret is not `whsec_` and base64.
    """
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    if not key:
        raise ValueError("empty secret")
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


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
            raise Transient(f"the webhook cannot be reached: {type(error).__name__}") from None
    status = answer.status_code
    if 200 <= status < 300:
        return
    if status in (429, 503):
        raise Throttled(f"the webhook asked to wait (HTTP {status})", status=status)
    if status >= 500 or status in (404, 408, 425):
        # 404 too: while a receiver is being deployed its route is missing for a moment.
        raise Transient(f"the webhook answered HTTP {status}", status=status)
    raise Rejected(f"the webhook refused the notification with HTTP {status}", status=status)
