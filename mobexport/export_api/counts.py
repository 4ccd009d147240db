"""Where every raw record went; changes when another fate is told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

_NAMES_KEPT = 50
_OTHER_NAMES = "*"


@dataclass(frozen=True)
class ExportCounts:
    """`read = rejected + outside_window + superseded + removed + exported`; blank lines are no records."""

    read: int
    rejected: int
    outside_window: int
    """Outside the window or the campaigns asked for; of Device, tags of devices without a record."""
    superseded: int
    """Records that another one of their identity replaces, or that are merged into it."""
    removed: int
    """Latest records that remove what they are about: a tag without a value, a token that is not valid."""
    exported: int
    """Innermost records in the file, which are the rows of a CSV."""
    elements: int
    """Elements of the file's array."""
    unknown_fields: Mapping[str, int] = field(default_factory=dict)
    """Fields that no declaration has, with the usable records that had them; beyond 50 names under `*`."""

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
        }


def ranked(names: Counter[str]) -> dict[str, int]:
    """The most frequent unknown names, and the others as one."""
    found = sorted(
        ((name, count) for name, count in names.items() if count), key=lambda one: (-one[1], one[0])
    )
    unknown = dict(found[:_NAMES_KEPT])
    if others := sum(count for _, count in found[_NAMES_KEPT:]):
        unknown[_OTHER_NAMES] = others
    return unknown


@dataclass
class Tally:
    """What one part of the work adds to the counts."""

    superseded: int = 0
    removed: int = 0
    outside: int = 0
    exported: int = 0
    elements: int = 0

    def add(self, other: Tally) -> None:
        """Adds another part."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
