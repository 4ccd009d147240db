"""Schema drift of an export: names nobody declared, and members of `extras` that are new or missing; pure.

Both sides are samples (`mobexport/records/sampling.py`), so a rare name may seem new, or missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mobexport.records.names import OTHER_NAMES


def find_drift(
    sampled: Mapping[str, Any], compared_with: str | None, earlier: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Changes between the samples of an export and an earlier one.

    `{comparedWith, undeclared, newUndeclared, newExtras, missingExtras}`.

    `compared_with` is the path of the earlier manifest, `earlier` its sample; None: there is none, or it has
    no records. Where a sample has more names than it shows, none is called new or missing for want of it.
    """
    now = sampled["extras"]
    before = earlier["extras"] if earlier and earlier["records"] and sampled["records"] else None
    known = None if before is None or earlier is None else earlier["undeclared"]
    return {
        "comparedWith": None if before is None else compared_with,
        "undeclared": dict(sampled["undeclared"]),
        "newUndeclared": [] if known is None else _only_in(sampled["undeclared"], known),
        "newExtras": [] if before is None else _only_in(now, before),
        "missingExtras": [] if before is None else _only_in(before, now),
    }


def has_drifted(drift: Mapping[str, Any]) -> bool:
    """Whether there is anything to tell."""
    return bool(drift["undeclared"] or drift["newExtras"] or drift["missingExtras"])


def _only_in(these: Mapping[str, int], others: Mapping[str, int]) -> list[str]:
    if OTHER_NAMES in others:
        return []
    return sorted(name for name in these if name not in others and name != OTHER_NAMES)
