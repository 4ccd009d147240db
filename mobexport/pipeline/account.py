"""The account of an attempt: what became of each record, from the raw line to the Parquet row; pure.

`read = rejected + outside + superseded + removed + exported` is told by the Export API, `records = rows +
rejected` by the pipeline, and `exported` is `records`. Where an Export API tells no counts the first half is
unknown, which is not 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

UNKNOWN: Final = "unknown: the Export API tells no counts"


def raw_account(raw: Mapping[str, Any] | None) -> dict[str, Any]:
    """`{"raw": counts}`, or `{"raw": None, "rawUnknown": why}`."""
    return {"raw": None, "rawUnknown": UNKNOWN} if raw is None else {"raw": dict(raw)}


def make_account(counts: Mapping[str, Any] | None, raw: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The counts of both halves, and whether they add up (None: one half is not known).

    None while there is nothing to tell. Files that went to a container of the user's own were not read:
    `records`, `rows` and `rejected` are None.
    """
    if counts is None and raw is None:
        return None
    own = counts if counts is not None else {"records": None, "rows": None, "rejected": None}
    return {**own, **raw_account(raw), "balances": _balances(own, raw)}


def _balances(own: Mapping[str, Any], raw: Mapping[str, Any] | None) -> bool | None:
    if raw is None or own["records"] is None:
        return None
    parts = sum(raw[name] for name in ("rejected", "outside", "superseded", "removed", "exported"))
    return bool(
        raw["read"] == parts
        and raw["exported"] == own["records"]
        and own["records"] == own["rows"] + own["rejected"]
    )


def total_rejected(account: Mapping[str, Any]) -> tuple[int, int]:
    """Records that were rejected by either half, and of how many.

    Those outside of what was asked for are left out: neighbouring days must not dilute a share.
    """
    raw = account["raw"]
    own = account["rejected"] or 0
    return (raw["rejected"] + own, raw["read"] - raw["outside"]) if raw else (own, account["records"] or 0)


def why_empty(account: Mapping[str, Any]) -> str | None:
    """Why there are no rows, as the Export API tells it; None if there are some."""
    if account["rows"]:
        return None
    if account["records"]:
        return f"every record of the export file was rejected ({account['records']})"
    raw = account["raw"]
    return UNKNOWN if raw is None else raw.get("empty")
