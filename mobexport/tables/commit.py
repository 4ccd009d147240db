"""An attempt's commit to a table; light to import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from mobexport.export_types.model import ExportType


def day_column(export_type: ExportType) -> str:
    """The partition column of days: `date`, for snapshots `snapshot`."""
    return "date" if export_type.historical else "snapshot"


def table_folder(app: str, export_type: str) -> str:
    """The table's folder in `curated`, by the names of app and type."""
    return f"{app}/{export_type}"


def day_ranges(days: Sequence[date]) -> str:
    """Days as ranges: `2025-03-01..2025-03-31,2025-04-02`."""
    found: list[tuple[date, date]] = []
    for day in sorted(days):
        if found and day - found[-1][1] <= timedelta(days=1):
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return ",".join(f"{first}" if first == last else f"{first}..{last}" for first, last in found)


@dataclass(frozen=True)
class NewFile:
    """A Parquet file of an attempt, written and not yet part of the table."""

    path: str
    """In the container `curated`."""
    day: date
    rows: int
    bytes: int
    stats: Mapping[str, Any] = field(default_factory=dict)
    """Statistics by the Delta protocol: minValues, maxValues, nullCount."""


@dataclass(frozen=True)
class TableCommit:
    """What an attempt commits."""

    app: str
    export_type: ExportType
    export_id: str
    attempt: int
    requested_at: datetime
    days: tuple[date, ...]
    """Every day that the export replaces, also one without rows."""
    files: Sequence[NewFile]
    campaign_type: str | None = None
    manifest: str = ""

    @property
    def folder(self) -> str:
        """The table's folder in `curated`."""
        return table_folder(self.app, self.export_type.name)

    @property
    def order(self) -> int:
        """What makes one request newer than another: milliseconds since 1970."""
        return round(self.requested_at.timestamp() * 1000)

    def metadata(self, days: Sequence[date]) -> dict[str, str]:
        """The commit's own words in the table's history, if it replaces those days."""
        return {
            "exportId": self.export_id,
            "attempt": str(self.attempt),
            "manifest": self.manifest,
            "days": day_ranges(days),
            "rows": str(sum(file.rows for file in self.files if file.day in days)),
        }

    def partition(self, day: date) -> dict[str, str]:
        """Values of the partition columns."""
        own = {day_column(self.export_type): day.isoformat()}
        return own | ({"campaignType": self.campaign_type} if self.campaign_type else {})
