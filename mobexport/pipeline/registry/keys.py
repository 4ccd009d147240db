"""Keys of the registry's table: rows by id, and their copies by time, newest first; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

PARTITION: Final = "exports"
FIRST: Final = "~"
"""Greater than any id: the keys from here on are those of copies."""
_LAST_INSTANT: Final = 10**14 - 1


def newest_key(created_at: str, export_id: str) -> str:
    """Key of the copy: an export first asked for later comes before."""
    return f"{FIRST}{_until(created_at):014d}~{export_id}"


def export_id(entity: Mapping[str, Any]) -> str:
    """Id of the export that a row, or the copy of a row, is of."""
    return str(entity.get("RowKey")).rpartition("~")[2]


def key_range(created_from: str | None = None, created_to: str | None = None) -> str:
    """OData term for the copies of exports first asked for in [from, to)."""
    low = f"{FIRST}{_until(created_to) + 1:014d}" if created_to else f"{FIRST}0"
    high = f"{FIRST}{_until(created_from) + 1:014d}" if created_from else f"{FIRST}:"
    return f"PartitionKey eq '{PARTITION}' and RowKey ge '{low}' and RowKey lt '{high}'"


def _until(at: str) -> int:
    """Milliseconds from an instant to the last one; 0 for what is no instant: somebody has to look at it."""
    try:
        return _LAST_INSTANT - round(datetime.fromisoformat(at).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0
