"""An export as the pipeline's HTTP API shows it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from mobexport.pipeline.registry import ExportRow
from mobexport.pipeline.states import State

_PHASES = {
    State.REQUESTED: "create",
    State.SUBMITTED: "poll",
    State.QUEUED: "poll",
    State.RUNNING: "poll",
    State.COLLECTING: "collect",
    State.PROCESSING: "process",
}


def show_export(row: ExportRow, base_url: str) -> dict[str, Any]:
    """The export with its links; `base_url` is this app's, up to and with its route prefix."""
    link = f"{base_url}/exports/{quote(row.id, safe='')}"
    return {
        "id": row.id,
        **row.request.subject(),
        "state": str(row.state),
        "phase": _PHASES.get(row.state, "done"),
        "progress": dict(row.progress),
        "attempt": row.attempt,
        "cancelRequested": row.cancel_requested,
        "jobId": row.job_id,
        "files": row.files,
        "counts": dict(row.counts) if row.counts else None,
        "manifest": row.manifest,
        "deliveries": {name: dict(delivery) for name, delivery in row.deliveries.items()},
        "error": dict(row.error) if row.error else None,
        "createdAt": row.created_at,
        "updatedAt": row.updated_at,
        "links": {"self": link, "cancel": f"{link}/cancel"},
    }
