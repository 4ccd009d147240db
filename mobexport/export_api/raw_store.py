"""Which raw files an export reads: the layout of the raw container.

`{app}/{kind}/{YYYY-MM-DD}/{any name}.ndjson`, never changed by us. The folder only prunes the scan; the
record's own time decides. Source: design section 3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from mobexport.errors import DataError
from mobexport.export_types.model import ExportType
from mobexport.storage import DataStorage, RawBlob

_NAME = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})/(?P<file>.+)")
_NOT_YET = (".ndjson.gz", ".parquet")


@dataclass(frozen=True)
class Plan:
    """The input of one export task, fixed: what is added, replaced or deleted later does not count."""

    blobs: tuple[RawBlob, ...]
    ignored: int
    """Blobs below the folders that are no raw files by their name."""

    def to_json(self) -> dict[str, Any]:
        return {"version": 1, "blobs": [blob.to_json() for blob in self.blobs], "ignored": self.ignored}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Plan:
        return cls(tuple(RawBlob(**blob) for blob in value["blobs"]), value["ignored"])


def plan_files(
    storage: DataStorage,
    container: str,
    app: str,
    export_type: ExportType,
    window: tuple[date, date] | None,
    slack_days: int,
) -> Plan:
    """The raw files of a task with their ETags, by name.

    Historical exports look into the folders of the window's days and `slack_days` on either side;
    snapshots scan the whole history of their kind. Raises DataError for a file format that this
    version cannot read.
    """
    root = f"{app}/{export_type.kind}/"
    if window is None:
        found = list(storage.list_blobs(container, root))
    else:
        first, last = window[0] - timedelta(days=slack_days), window[1] + timedelta(days=slack_days)
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        found = [blob for day in days for blob in storage.list_blobs(container, f"{root}{day}/")]
    chosen: list[RawBlob] = []
    ignored = 0
    for blob in sorted(found, key=lambda item: item.name):
        name = _NAME.fullmatch(blob.name[len(root) :])
        if name and name["file"].endswith(".ndjson"):
            chosen.append(blob)
        elif name and name["file"].endswith(_NOT_YET):
            raise DataError(f"{container}/{blob.name}: only plain .ndjson can be read by this version")
        else:
            ignored += 1
    return Plan(tuple(chosen), ignored)


def has_raw_data(storage: DataStorage, container: str, app: str) -> bool:
    """Whether the raw container has anything of that app."""
    return next(iter(storage.list_blobs(container, f"{app}/")), None) is not None
