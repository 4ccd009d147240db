"""Tell what a schedule's batch came to, once nothing more will be tried: digest, day without data; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from mobexport import export_types
from mobexport.clock import stamp
from mobexport.pipeline.account import why_empty
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.pipeline.registry.states import State

NO_DATA: Final = "no-data"
DIGEST: Final = "digest"


@dataclass(frozen=True)
class Ended:
    """One export of the batch as it ended."""

    row: ExportRow
    days: frozenset[date]
    """Days of which it committed rows."""


def has_no_data(day: date, exports: Sequence[Ended]) -> bool:
    """Whether all historical exports ended well, and none brought a row of that day.

    A failure is told as such: what would have come is not known.
    """
    asked = [one for one in exports if export_types.get(one.row.request.export_type).historical]
    return (
        bool(asked)
        and all(one.row.state in (State.SUCCEEDED, State.EMPTY) for one in asked)
        and not any(day in one.days for one in asked)
    )


def make_schedule_event(
    kind: str, app: str, day: date, batch: str, exports: Sequence[Ended]
) -> dict[str, Any]:
    """A CloudEvent about a schedule's day, whose id is fixed by the batch; with each export's end."""
    return {
        "specversion": "1.0",
        "id": f"{batch}/{kind}",
        "source": f"/apps/{app}",
        "type": f"mobexport.schedule.{kind}",
        "subject": batch,
        "time": stamp(),
        "datacontenttype": "application/json",
        "data": {
            "app": app,
            "day": day.isoformat(),
            "batchId": batch,
            "exports": [_told(one.row) for one in exports],
        },
    }


def _told(row: ExportRow) -> dict[str, Any]:
    account: Mapping[str, Any] = row.account or {}
    raw = account.get("raw")
    told = {
        "exportId": row.id,
        "exportType": row.request.export_type,
        "state": str(row.state),
        "rows": account.get("rows"),
        "rejected": account.get("rejected"),
        # None is unknown: this Export API tells no counts.
        "rawRejected": raw["rejected"] if raw else None,
    }
    if row.state is State.EMPTY and account:
        told["empty"] = why_empty(account)
    if row.error:
        told["error"] = row.error["code"]
    return told
