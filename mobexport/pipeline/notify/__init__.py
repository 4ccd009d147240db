"""Notifications: one CloudEvent for each attempt that ends, sent to targets (`mobexport/targets`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mobexport.clock import stamp
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.storage import DataStorage
from mobexport.targets import Target


def make_event(row: ExportRow, event: str) -> dict[str, Any]:
    """A CloudEvents 1.0 object (https://cloudevents.io) whose id is fixed by export, attempt and event.

    So a receiver that remembers ids can drop repetitions. `row` is as the attempt
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


def send(target: Target, event: Mapping[str, Any], storage: DataStorage) -> None:
    """One attempt to deliver. Raises RemoteError or ConfigError."""
    target.send(event, storage)
