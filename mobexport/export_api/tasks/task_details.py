"""`errorDetails` of a task that succeeded: what it left out, for the person who asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHOWN = 3


def details_of(counts: Mapping[str, Any], rejects: str) -> str | None:
    """Rejected records, and files and folders that were not read; None where there are none.

    `rejects` is where the rejects are.
    """
    rejected = counts.get("rejected", 0)
    skipped = [one for one in counts.get("skipped", ()) if not one["reason"].startswith("hidden")]
    told = [f"{rejected} raw records rejected, see {rejects}"] if rejected else []
    if counts.get("lateFiled") and counts.get("daysRead"):
        first, last = counts["daysRead"]
        told.append(
            f"{counts['lateFiled']} raw records lie further from their folder's day than RAW_SLACK_DAYS:"
            f" others of these days may lie outside of {first} to {last}, where nothing was looked for"
        )
    if skipped:
        shown = [f"`{one['name']}`: {one['reason']}" for one in skipped[:_SHOWN]]
        more = [f"{len(skipped) - _SHOWN} more reasons"] if len(skipped) > _SHOWN else []
        told.append(f"not read: {'; '.join(shown + more)}")
    return ". ".join(told) or None
