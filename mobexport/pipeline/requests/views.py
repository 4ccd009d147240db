"""Exports and batches as the pipeline's HTTP API shows them."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from urllib.parse import quote

from mobexport.pipeline.account import why_empty
from mobexport.pipeline.registry.export_request import ExportRequest
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.pipeline.registry.states import State
from mobexport.pipeline.requests.batches import Batch


def show_batch(batch: Batch, base_url: str) -> dict[str, Any]:
    """The batch with the outcome of each of its exports."""
    return {
        "id": batch.id,
        "state": batch.state,
        "counts": batch.counts,
        "parallel": batch.parallel,
        "createdAt": batch.created_at,
        "endedAt": batch.ended_at,
        "exports": [
            {
                "id": item.request.id,
                **item.request.subject(),
                "attempt": item.attempt,
                "state": str(item.state) if item.state else "Waiting" if item.attempt is None else "Running",
                "links": {"self": f"{base_url}/exports/{quote(item.request.id, safe='')}"},
            }
            for item in batch.items
        ],
        "notes": sorted({note for item in batch.items for note in _notes(item.request)}),
        "links": {"self": f"{base_url}/batches/{quote(batch.id, safe='')}"},
    }


def show_export(row: ExportRow, base_url: str) -> dict[str, Any]:
    """The export with its links; `base_url` is this app's, up to and with its route prefix."""
    account = row.account
    link = f"{base_url}/exports/{quote(row.id, safe='')}"
    return {
        "id": row.id,
        **row.request.subject(),
        "state": str(row.state),
        "phase": row.state.phase,
        "progress": dict(row.progress),
        "attempt": row.attempt,
        "cancelRequested": row.cancel_requested,
        "jobId": row.job_id,
        "destination": row.request.destination,
        "files": row.files,
        "counts": account,
        "empty": why_empty(account) if account and row.state is State.EMPTY else None,
        "manifest": row.manifest,
        "processingStartedBy": row.processing_started_by,
        "phases": dict(row.phases),
        "moments": dict(row.moments),
        "restarts": row.restarts,
        "deliveries": {
            key.partition("/")[2]: dict(delivery)
            for key, delivery in row.deliveries.items()
            if key.startswith(f"{row.attempt}/")
        },
        "lateFiles": list(row.late_files),
        "error": dict(row.error) if row.error else None,
        "notes": _notes(row.request),
        "createdAt": row.created_at,
        "attemptBeganAt": row.began_at,
        "updatedAt": row.updated_at,
        "endedAt": row.ended_at,
        "links": {"self": link, "cancel": f"{link}/cancel"},
    }


def _notes(request: ExportRequest) -> list[str]:
    """What somebody should know of a request that is right all the same."""
    if request.window and request.window[1] >= (today := request.requested_at.astimezone(UTC).date()):
        return [
            f"{today} (UTC) was not over when this was requested: ask for it again later, with rerun: true"
        ]
    return []
