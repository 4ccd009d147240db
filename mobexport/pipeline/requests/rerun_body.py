"""Make the body that asks for an export once more; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mobexport.errors import RequestError

_CAMPAIGN: Final = ("campaignType", "campaignIds", "campaignWindowStart", "campaignWindowEnd")


def rerun_body(shown: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The body for an export as the API shows it. Raises RequestError if there can be none."""
    if shown["destination"]:
        raise RequestError(
            f"{shown['id']} went to {shown['destination']}, whose URL is not kept: ask again with"
            " `mobexport export … --container-url URL --rerun`"
        )
    # A snapshot belongs to its day, also one that is chosen by campaign.
    day, today = shown["snapshotDay"], now.astimezone(UTC).date().isoformat()
    if day and day != today:
        raise RequestError(
            f"{shown['id']} is the snapshot of {day}, and that day is over: `mobexport export"
            f" {shown['exportType']} --app {shown['app']}` makes today's"
        )
    body: dict[str, Any] = {"exportType": shown["exportType"], "app": shown["app"], "rerun": True}
    if shown["window"]:
        body |= dict(zip(("startDate", "endDate"), shown["window"], strict=True))
    return body | {name: shown[name] for name in _CAMPAIGN if name in shown}
