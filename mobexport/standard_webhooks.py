"""Signatures as https://www.standardwebhooks.com (specification 1.0) says, made and checked.

What is signed is the body of a notification that leaves (`sign`), and the request line and the body of a call
that arrives (`call_content`): the body of a cancel is empty, and its signature must not be good for another
export's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
import uuid
from collections.abc import Mapping
from typing import Final

from mobexport.errors import ConfigError, Unauthorized

TOLERANCE_SECONDS: Final = 300
"""Largest difference between a message's time and ours: older ones may be replayed by somebody else."""


def key_of(secret: str) -> bytes:
    """The key in a secret, `whsec_` and base64. Raises ValueError if it is none."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    if not key:
        raise ValueError("empty secret")
    return key


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`.

    Raises ValueError if the secret is not `whsec_` and base64.
    """
    key = key_of(secret)
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def signed_headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a signed message. Raises ValueError as `sign` does."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, message_id, timestamp, body),
    }


def call_headers(secret: str, method: str, path: str, body: bytes) -> dict[str, str]:
    """The headers of a call of this moment, under an id of its own. Raises ValueError as `sign` does."""
    return signed_headers(
        secret, f"msg_{uuid.uuid4().hex}", int(time.time()), call_content(method, path, body)
    )


def call_content(method: str, path: str, body: bytes) -> bytes:
    """`POST /api/exports`, a line feed, the body: what the caller signs, with any library of the standard.

    `path` is that of the URL as it was sent, without the query.
    """
    return f"{method} {path}\n".encode() + body


def check(secret: str, setting: str, headers: Mapping[str, str], content: bytes, now: float) -> str:
    """Id of the message, if one of its signatures is right and its time is near `now`.

    `headers` have lower-case names; `setting` is where the secret stands. Raises Unauthorized, or
    ConfigError for a secret that is none.
    """
    message_id = headers.get("webhook-id", "")
    sent = headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "")
    if not message_id or not (sent.isascii() and sent.isdecimal()) or len(sent) > 12:
        raise Unauthorized("the call must be signed: webhook-id, webhook-timestamp, webhook-signature")
    if abs(now - int(sent)) > TOLERANCE_SECONDS:
        raise Unauthorized("webhook-timestamp is more than five minutes from this service's time")
    try:
        expected = sign(secret, message_id, int(sent), content)
    except (ValueError, binascii.Error):
        raise ConfigError(f"{setting}: must be whsec_ followed by base64") from None
    # Several, separated by spaces, while the sender changes its secret.
    if not any(hmac.compare_digest(expected.encode(), one.encode()) for one in given.split(" ")):
        raise Unauthorized(
            "webhook-signature does not fit the secret and what was sent: sign the request line"
            " (POST /api/exports), a line feed and the body"
        )
    return message_id
