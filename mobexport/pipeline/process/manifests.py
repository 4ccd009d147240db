"""The manifest: the record of what an attempt read and wrote, and how many records there were.

Versioned JSON: docs/manifest.schema.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mobexport.clock import stamp
from mobexport.pipeline.account import raw_account
from mobexport.pipeline.process.drift import find_drift
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.records.names import added

Earlier = tuple[str, Mapping[str, Any]]
"""A manifest of the same app and type: its path in `curated`, and itself."""


def make_manifest(
    row: ExportRow, conversions: Sequence[Mapping[str, Any]], earlier: Earlier | None = None
) -> dict[str, Any]:
    """The manifest of one attempt out of the conversions of its files, or of their parts, in their order.

    Of a file's parts only the first has its `input`. What an earlier version of the app converted has no
    `sampled`, and so have earlier manifests.
    """
    totals = {name: sum(part[name] for part in conversions) for name in ("records", "rows", "rejected")}
    for name in ("rules", "lenient"):
        totals[name] = _added(part[name] for part in conversions)
    request = row.request
    sampled = added(part["sampled"] for part in conversions if "sampled" in part).to_json()
    path, before = earlier or (None, {})
    return {
        "version": 1,
        "exportId": row.id,
        "attempt": row.attempt,
        **request.subject(),
        "checks": "strict" if request.strict else "lenient",
        "requestedAt": stamp(request.requested_at),
        "committedAt": stamp(),
        "job": row.job_id,
        "inputs": [part["input"] for part in conversions if part["input"]],
        "outputs": [output for part in conversions for output in part["outputs"]],
        "rejects": [part["rejects"] for part in conversions if part["rejects"]],
        "counts": {**totals, **raw_account(row.raw_counts)},
        "sampled": sampled,
        "drift": find_drift(sampled, path, before.get("sampled")),
    }


def _added(parts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, number in part.items():
            total[name] = total.get(name, 0) + number
    return total
