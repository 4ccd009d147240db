"""Counts of raw records: read, rejected, outside, superseded, removed, exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ExportCounts:
    """`read = rejected + outside_window + superseded + removed + exported`; blank lines are not records."""

    read: int
    rejected: int
    outside_window: int
    """Outside the window or the campaigns asked for; of Device, tags of devices without a record."""
    superseded: int
    """Records that another one of their identity replaces, or that are merged into it."""
    removed: int
    """Latest records that remove something: a tag without a value, a token that is not valid."""
    exported: int
    """Innermost records in the file, which are the rows of a CSV."""
    elements: int
    """Elements of the file's array."""
    unknown_fields: Mapping[str, int] = field(default_factory=dict)
    """Fields that no declaration has, with the usable records that had them; beyond 50 names under `*`."""
    rules: Mapping[str, int] = field(default_factory=dict)
    """Rejected records by `rule`, or `rule:field`."""
    late_filed: int = 0
    """Usable records further from the day of their file's folder than is looked."""

    def balances(self) -> bool:
        """Whether nothing was lost or counted twice."""
        gone = self.rejected + self.outside_window + self.superseded + self.removed
        return self.read == gone + self.exported

    def to_json(self) -> dict[str, Any]:
        """The counts under camelCase names, as they are kept with a task."""
        return {
            "read": self.read,
            "rejected": self.rejected,
            "outsideWindow": self.outside_window,
            "superseded": self.superseded,
            "removed": self.removed,
            "exported": self.exported,
            "elements": self.elements,
            "unknownFields": dict(self.unknown_fields),
            "rules": dict(self.rules),
            **({"lateFiled": self.late_filed} if self.late_filed else {}),
        }


def why_empty(counts: Mapping[str, Any]) -> str:
    """Why a file has no records, as far as the counts say."""
    files, read, rejected, outside = (
        counts.get(name) or 0 for name in ("files", "read", "rejected", "outsideWindow")
    )
    if not files:
        return "there is no raw file for those days"
    if not read:
        return f"the raw files ({files}) have no records"
    if rejected == read:
        return f"every raw record was rejected ({read})"
    if rejected + outside == read:
        return f"no raw record of {read} is of those days or campaigns; {rejected} were rejected"
    return f"of {read} raw records {rejected} were rejected, {outside} outside, {counts['removed']} removed"
