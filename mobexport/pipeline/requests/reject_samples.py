"""Show the first rejects of an attempt, of the raw data and of its export file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from mobexport.blob_paths import REJECTS_CONTAINER, raw_rejects_path
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.storage import DataStorage
from mobexport.untrusted import prose
from mobexport.wire import TaskRef

SAMPLES: Final = 10
"""Rejects that are shown of each half."""
_BYTES: Final = 256 * 1024
"""Of a rejects file that are looked at: one original may have 16 MiB."""
_MOST: Final = 500
_PLACE: Final = ("file", "line", "element", "record", "rule", "field", "original")


def show_rejects(storage: DataStorage, row: ExportRow) -> dict[str, Any]:
    """`{raw, export}`: the first rejects of each, as text fit to be shown.

    Those of the raw data only where this app's own Export API keeps them: another's paths are not followed.
    """
    account = row.account or {"raw": None}
    raw = own_raw_rejects(account, row.request.app, row.job_id)
    return {
        "raw": _samples(storage, [raw] if raw else []),
        "export": _samples(storage, account.get("rejects") or []),
    }


def own_raw_rejects(account: Mapping[str, Any], app: str, job_id: str | None) -> str | None:
    """Container and path of the raw data's rejects; None if not this app's own Export API keeps them."""
    own = f"{REJECTS_CONTAINER}/{raw_rejects_path(TaskRef(app, job_id or ''))}"
    return own if (account["raw"] or {}).get("rejects") == own else None


def _samples(storage: DataStorage, paths: list[str]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for path in paths:
        for reject in _first(storage, path.removeprefix(f"{REJECTS_CONTAINER}/")):
            found.append({name: prose(reject[name], _MOST) for name in _PLACE if name in reject})
            if len(found) == SAMPLES:
                return found
    return found


def _first(storage: DataStorage, name: str) -> Iterator[Mapping[str, Any]]:
    """Whole lines of the begin of a rejects file; none if it is gone: rejects are kept for 90 days."""
    try:
        blob = storage.container(REJECTS_CONTAINER, create=False).get_blob_client(name)
        data = blob.download_blob(offset=0, length=_BYTES).readall()
    except ResourceNotFoundError:
        return
    except HttpResponseError as error:
        if error.status_code == 416:  # It is empty.
            return
        raise
    *lines, rest = data.split(b"\n")
    if not lines and rest:
        yield {"rule": "too long to be shown", "original": f"the first record has more than {_BYTES} bytes"}
    for line in lines:
        reject = json.loads(line)
        if {"rule", "original"} <= reject.keys():
            yield reject
