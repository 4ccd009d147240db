"""What a commit leaves in `curated`: the manifest of an export and the pointers of its days.

Readers go by the pointers: each names the files that count for one day, so that a re-export replaces the
day and overlapping windows never double. Both are versioned JSON; docs/data-layout.md describes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mobexport.blob_paths import CURATED_CONTAINER, pointer_name
from mobexport.clock import stamp
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.storage import DataStorage


def make_manifest(row: ExportRow, conversions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The manifest of one attempt out of the conversions of its files, or of their parts, in their order.

    Of a file's parts only the first has its `input`.
    """
    totals = {name: sum(part[name] for part in conversions) for name in ("records", "rows", "rejected")}
    for name in ("rules", "lenient"):
        totals[name] = _added(part[name] for part in conversions)
    request = row.request
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
        "counts": totals,
    }


def _added(parts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, number in part.items():
            total[name] = total.get(name, 0) + number
    return total


def swap_pointers(storage: DataStorage, row: ExportRow, manifest: Mapping[str, Any]) -> None:
    """Points every day of the export at its files, also days without rows.

    The newer request wins; an older one that comes late leaves the pointer as it is.
    """
    campaign = row.request.campaign
    for day in row.request.days:
        files = [out["path"] for out in manifest["outputs"] if out["date"] == day.isoformat()]
        pointer = {
            "version": 1,
            "exportId": row.id,
            "attempt": row.attempt,
            "requestedAt": manifest["requestedAt"],
            "manifest": row.manifest_path,
            "files": files,
            "rows": sum(out["rows"] for out in manifest["outputs"] if out["date"] == day.isoformat()),
        }
        _swap(storage, row.day_folder(day) + pointer_name(campaign.type if campaign else None), pointer)


def _swap(storage: DataStorage, path: str, pointer: Mapping[str, Any]) -> None:
    while True:
        found = storage.read_json_etag(CURATED_CONTAINER, path)
        if found is None:
            if storage.write_json(CURATED_CONTAINER, path, pointer):
                return
            continue
        there, etag = found
        if _age(there) >= _age(pointer):
            return
        if storage.write_json(CURATED_CONTAINER, path, pointer, etag=etag):
            return


def _age(pointer: Mapping[str, Any]) -> tuple[str, str, int]:
    # Times are all written alike (UTC, milliseconds), so their texts compare as the instants do.
    return str(pointer["requestedAt"]), str(pointer["exportId"]), int(pointer["attempt"])
