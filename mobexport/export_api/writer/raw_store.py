"""Which raw files an export reads: the layout of the raw container.

`{app}/{kind}/{YYYY-MM-DD}/{any name}.ndjson|.ndjson.gz|.parquet`, never changed by us. The folder only
prunes the scan; the record's own time decides. Source: design section 3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from mobexport.contract import MAX_DAYS
from mobexport.export_api.tasks.selection import Window
from mobexport.export_api.writer.slices import PARQUET
from mobexport.export_types.model import ExportType
from mobexport.records.gunzip import GZIP
from mobexport.storage import DataStorage, RawBlob

_NAME = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})/(?P<file>.+)")
_HIDDEN = re.compile(r"(?:^|/)[._]")
FORMATS = (".ndjson", GZIP, PARQUET)


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
    window: Window | None,
    slack_days: int,
) -> Plan:
    """The raw files of a task with their ETags, by name: all kinds that the type reads.

    Files and folders whose name begins with `.` or `_` are none: writers keep what is not finished there.

    With a window, the folders of its days and `slack_days` on either side; without one the whole history.
    """
    found: list[RawBlob] = []
    for kind in export_type.kinds:
        root = f"{app}/{kind}/"
        for folder in _folders(window, slack_days):
            found += storage.list_blobs(container, root + folder)
    chosen: list[RawBlob] = []
    ignored = 0
    for blob in sorted(found, key=lambda item: item.name):
        name = _NAME.fullmatch(blob.name.split("/", 2)[2])
        if name and name["file"].endswith(FORMATS) and not _HIDDEN.search(name["file"]):
            chosen.append(blob)
        else:
            ignored += 1
    return Plan(tuple(chosen), ignored)


def _folders(window: Window | None, slack_days: int) -> list[str]:
    if window is None:
        return [""]
    first, last = (end.astimezone(UTC).date() if isinstance(end, datetime) else end for end in window)
    start = max(first.toordinal() - slack_days, date.min.toordinal())
    end = min(last.toordinal() + slack_days, date.max.toordinal())
    if end - start > MAX_DAYS + 2 * slack_days:
        # A window of instants from 0001 to 9999, say: one listing of all there is, not one for each day.
        return [""]
    return [f"{date.fromordinal(day)}/" for day in range(start, end + 1)]
