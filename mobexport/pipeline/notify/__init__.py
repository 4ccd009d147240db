"""Notifications: one CloudEvent for each attempt that ends, sent to targets (`mobexport/targets`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mobexport.clock import stamp
from mobexport.pipeline.account import total_rejected, why_empty
from mobexport.pipeline.findings import Finding
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.pipeline.registry.states import State
from mobexport.storage import DataStorage
from mobexport.targets import Target


def make_event(row: ExportRow, event: str) -> dict[str, Any]:
    """A CloudEvents 1.0 object (https://cloudevents.io) whose id is fixed by export, attempt and event.

    So a receiver that remembers ids can drop repetitions. `row` is as the attempt
    ended, `event` is `completed` or `failed`.
    """
    account = row.account
    rejected, records = total_rejected(account) if account else (None, None)
    return _event(
        row,
        event,
        {
            "state": str(row.state),
            "beganAt": row.began_at,
            "endedAt": row.ended_at,
            # Of both halves together; `counts` has each.
            "rejected": rejected,
            "records": records,
            "counts": account,
            "empty": why_empty(account) if account and row.state is State.EMPTY else None,
            "manifest": row.manifest,
            "error": dict(row.error) if row.error else None,
        },
    )


def make_finding_event(row: ExportRow, finding: Finding) -> dict[str, Any]:
    """A CloudEvent about what was found in an attempt that ended well; its id is fixed as well."""
    return _event(row, finding.kind, {**finding.data, "manifest": row.manifest})


def _event(row: ExportRow, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{row.id}/{row.attempt}/{kind}",
        "source": f"/apps/{row.request.app}",
        "type": f"mobexport.export.{kind}",
        "subject": row.id,
        "time": stamp(),
        "datacontenttype": "application/json",
        "data": {"exportId": row.id, "attempt": row.attempt, **row.request.subject(), **data},
    }


def send(target: Target, event: Mapping[str, Any], storage: DataStorage) -> None:
    """One attempt to deliver. Raises RemoteError or ConfigError."""
    target.send(event, storage)
