"""Names that were found in records, counted, and bounded in number and length; light to import."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

LONG_NAME: Final = 64
OTHER_NAMES: Final = "*"
_NAMES_KEPT: Final = 10_000
_NAMES_SHOWN: Final = 50


class Names:
    """How many records have each name; long names are cut."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, names: Iterable[str], count: int = 1) -> None:
        """Adds records that have each of those names; beyond 10,000 different ones under `*`."""
        for name in names if count else ():
            shown = name if len(name) <= LONG_NAME else f"{name[:LONG_NAME]}…"
            if shown not in self.counts and len(self.counts) >= _NAMES_KEPT:
                shown = OTHER_NAMES
            self.counts[shown] += count

    def ranked(self) -> dict[str, int]:
        """The 50 most frequent names, and the others as one."""
        others = self.counts.get(OTHER_NAMES, 0)
        found = sorted(
            ((name, count) for name, count in self.counts.items() if name != OTHER_NAMES),
            key=lambda one: (-one[1], one[0]),
        )
        shown = dict(found[:_NAMES_SHOWN])
        if others := others + sum(count for _, count in found[_NAMES_SHOWN:]):
            shown[OTHER_NAMES] = others
        return shown

    def merge(self, counts: Mapping[str, int]) -> None:
        """Adds those of another part."""
        for name, count in counts.items():
            self.add([name], count)


@dataclass(frozen=True)
class SampledNames:
    """How many of the sampled records have each name: at most 50 names of 64 characters, others under `*`."""

    records: int = 0
    undeclared: Mapping[str, int] = field(default_factory=dict)
    """Members of elements, records and declared objects (`info.colour`) that no field has."""
    extras: Mapping[str, int] = field(default_factory=dict)
    """Members of objects that pass through: of `extras`, of Device of `appInfo`."""

    def to_json(self) -> dict[str, Any]:
        return {"records": self.records, "undeclared": dict(self.undeclared), "extras": dict(self.extras)}


def added(samples: Iterable[Mapping[str, Any]]) -> SampledNames:
    """The samples of several files or parts, in JSON, as one."""
    records, undeclared, extras = 0, Names(), Names()
    for sample in samples:
        records += sample["records"]
        undeclared.merge(sample["undeclared"])
        extras.merge(sample["extras"])
    return SampledNames(records, undeclared.ranked(), extras.ranked())
