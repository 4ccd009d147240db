"""Notifications as messages in a queue of the data account: the event as JSON text, base64 encoded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from azure.storage.queue import TextBase64EncodePolicy
from opentelemetry.trace import SpanKind

from mobexport.config import QueueTarget
from mobexport.storage import DataStorage
from mobexport.telemetry import tracing


def send(
    target: QueueTarget, event: Mapping[str, Any], _environ: Mapping[str, str], storage: DataStorage
) -> None:
    """One message, base64 as queue triggers expect it by default."""
    about: dict[str, str | int] = {"messaging.destination.name": target.queue}
    with tracing.span("send to queue", kind=SpanKind.PRODUCER, attributes=about):
        queue = storage.queue(target.queue)
        queue.send_message(TextBase64EncodePolicy().encode(json.dumps(event, ensure_ascii=False)))
