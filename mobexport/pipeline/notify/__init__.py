"""Notifications: one CloudEvent for each attempt that ends, one sender for each kind of target."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from mobexport.clock import stamp
from mobexport.config import QueueTarget, WebhookTarget
from mobexport.pipeline.notify import storage_queue, webhook
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.storage import DataStorage

_SENDERS: dict[type, Callable[[Any, Mapping[str, Any], Mapping[str, str], DataStorage], None]] = {
    WebhookTarget: webhook.send,
    QueueTarget: storage_queue.send,
}


def make_event(row: ExportRow, event: str) -> dict[str, Any]:
    """A CloudEvents 1.0 object (https://cloudevents.io) whose id is fixed by export, attempt and event.

    So a receiver that keeps ids sees each once, however often it is delivered. `row` is as the attempt
    ended, `event` is `completed` or `failed`.
    """
    return {
        "specversion": "1.0",
        "id": f"{row.id}/{row.attempt}/{event}",
        "source": f"/apps/{row.request.app}",
        "type": f"mobexport.export.{event}",
        "subject": row.id,
        "time": stamp(),
        "datacontenttype": "application/json",
        "data": {
            "exportId": row.id,
            "attempt": row.attempt,
            **row.request.subject(),
            "state": str(row.state),
            "counts": dict(row.counts) if row.counts else None,
            "manifest": row.manifest,
            "error": dict(row.error) if row.error else None,
        },
    }


def send(target: WebhookTarget | QueueTarget, event: Mapping[str, Any], storage: DataStorage) -> None:
    """One attempt to deliver. Raises RemoteError or ConfigError."""
    _SENDERS[type(target)](target, event, os.environ, storage)
