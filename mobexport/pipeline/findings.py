"""Findings: what somebody should hear about an export that ended well; pure.

Each is an event of its own, sent like the attempt's end, and a line in the log, which the queries in
`infra/queries` look for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mobexport.pipeline.account import total_rejected
from mobexport.untrusted import prose

REJECT_RATE: Final = "reject-rate"
DRIFT: Final = "schema-drift"
UNREAD_FILES: Final = "unread-raw-files"

LINES: Final[Mapping[str, str]] = {
    REJECT_RATE: "reject rate:",
    DRIFT: "schema drift:",
    UNREAD_FILES: "unread raw files:",
}
"""Start of the log line of each kind."""

_NAMES_TOLD: Final = 10
_NAME: Final = 64


@dataclass(frozen=True)
class Finding:
    """One thing to tell."""

    kind: str
    data: Mapping[str, Any]


def find(account: Mapping[str, Any], reject_alert: float) -> tuple[Finding, ...]:
    """What there is to tell of an attempt's account; `reject_alert` is the share of rejects from 0 to 1."""
    found: list[Finding] = []
    rejected, records = total_rejected(account)
    if records and rejected > reject_alert * records:
        rate = round(rejected / records, 6)
        data = {"rejected": rejected, "records": records, "rate": rate, "alert": reject_alert}
        found.append(Finding(REJECT_RATE, data))
    drift = account.get("drift")
    if drift and drift["comparedWith"]:
        news = {
            name: names
            for name in ("newUndeclared", "newExtras", "missingExtras")
            if (names := _names(drift.get(name, ())))
        }
        if news:
            found.append(Finding(DRIFT, {**news, "comparedWith": drift["comparedWith"]}))
    raw = account["raw"]
    if raw and raw.get("ignoredFiles"):
        found.append(Finding(UNREAD_FILES, {"files": raw["ignoredFiles"]}))
    return tuple(found)


def shorten_drift(drift: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest's drift as a table row holds it: the first names of each list, fit to be shown."""
    undeclared = dict(list(drift["undeclared"].items())[:_NAMES_TOLD])
    lists = {name: _names(drift[name]) for name in ("newUndeclared", "newExtras", "missingExtras")
             if name in drift}  # fmt: skip
    return {
        **drift,
        "undeclared": {prose(name, _NAME): count for name, count in undeclared.items()},
        **lists,
    }


def _names(names: Any) -> list[str]:
    return [prose(name, _NAME) for name in list(names)[:_NAMES_TOLD]]
