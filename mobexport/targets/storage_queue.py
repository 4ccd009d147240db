"""Notifications as messages in a queue of the data account: the event as JSON text, base64 encoded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from opentelemetry.trace import SpanKind
from pydantic import Field

from mobexport.targets.model import Target
from mobexport.telemetry import tracing

if TYPE_CHECKING:
    from mobexport.storage import DataStorage


class QueueTarget(Target):
    """`kind = "storage-queue"`: a message in a queue of the data account."""

    kind: Literal["storage-queue"]
    queue: Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])$")] = "notifications"

    def send(self, event: Mapping[str, Any], storage: DataStorage) -> None:
        """One message, base64 as queue triggers expect it by default."""
        # Heavy, and whoever reads the configuration imports this module.
        from azure.storage.queue import TextBase64EncodePolicy

        about: dict[str, str | int] = {"messaging.destination.name": self.queue}
        with tracing.span("send to queue", kind=SpanKind.PRODUCER, attributes=about):
            queue = storage.queue(self.queue)
            queue.send_message(TextBase64EncodePolicy().encode(json.dumps(event, ensure_ascii=False)))
