"""Pointers, the layout of curated data before it was Delta tables; only read, to be migrated.

`{app}/{type}/date=YYYY-MM-DD/_current.json` (snapshots: `snapshot=…`) named the files that counted for a day;
of Push one for each type of campaign, `_current-{campaignType}.json`. Source: docs/adr/0005.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from mobexport.blob_paths import CURATED_CONTAINER
from mobexport.errors import DataError
from mobexport.storage import DataStorage

_NAME: Final = re.compile(
    r"(?P<app>[^/_][^/]*)/(?P<type>[^/]+)/(?:date|snapshot)=(?P<day>\d{4}-\d\d-\d\d)"
    r"/_current(?:-(?P<campaign>[A-Za-z]+))?\.json"
)


@dataclass(frozen=True)
class Pointer:
    """The files that count for one day, and the attempt that wrote them."""

    name: str
    """Path of the pointer in `curated`."""
    app: str
    type: str
    day: date
    campaign_type: str | None
    export_id: str
    attempt: int
    requested_at: datetime
    manifest: str
    files: tuple[str, ...]
    """Paths in `curated`."""
    rows: int


def pointer_blobs(storage: DataStorage, folder: str = "") -> Iterator[str]:
    """Names of the pointers there are, below a table's folder or all, in order."""
    for blob in storage.list_stored(CURATED_CONTAINER, f"{folder}/" if folder else ""):
        if _NAME.fullmatch(blob.name):
            yield blob.name


def read_pointer(storage: DataStorage, name: str) -> Pointer | None:
    """A pointer; None if it is gone. Raises DataError if it cannot be understood."""
    found = storage.read_json(CURATED_CONTAINER, name)
    if found is None:
        return None
    try:
        return _parsed(name, found)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(
            f"curated/{name} is no pointer of version 1: look at it, and move it away or repair it",
        ) from None


def _parsed(name: str, found: Any) -> Pointer:
    place = _NAME.fullmatch(name)
    assert place is not None
    if found["version"] != 1:
        raise ValueError(found["version"])
    return Pointer(
        name=name,
        app=place["app"],
        type=place["type"],
        day=date.fromisoformat(place["day"]),
        campaign_type=place["campaign"],
        export_id=str(found["exportId"]),
        attempt=int(found["attempt"]),
        requested_at=datetime.fromisoformat(found["requestedAt"]),
        manifest=str(found["manifest"]),
        files=tuple(str(path) for path in found["files"]),
        rows=int(found["rows"]),
    )
