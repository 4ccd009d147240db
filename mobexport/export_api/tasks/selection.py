"""Selection of records by a request: days, instants, values of fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from mobexport.records.instants import bounds_of, micros_of

if TYPE_CHECKING:
    from mobexport.contract import ExportTaskParameter

Window = tuple[date, date] | tuple[datetime, datetime]


@dataclass(frozen=True)
class Selection:
    """Records that are not selected count as outside; nothing given selects all."""

    window: Window | None = None
    """First and last UTC day, or instant (with a time zone), of the time field; both included."""
    only: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)
    """For fields by name, the values that are selected: `{"campaignType": ("Poll",), "campaignId": (7,)}`."""

    @classmethod
    def of(cls, body: ExportTaskParameter) -> Selection:
        """Selection of a checked request body; campaign ids ascending, each once."""
        # Here, since a step that writes a file has no use for the models of requests.
        from mobexport.contract import (
            DateRangeExportTaskParameter,
            FeedbackByCampaignParameter,
            FeedbackByDateRangeParameter,
        )

        match body:
            case DateRangeExportTaskParameter():
                return cls((body.start_date, body.end_date))
            case FeedbackByDateRangeParameter():
                window = (body.campaign_window_start, body.campaign_window_end)
                return cls(window, {"campaignType": (body.campaign_type,)})
            case FeedbackByCampaignParameter():
                ids = tuple(sorted(set(body.campaign_ids)))
                return cls(only={"campaignType": (body.campaign_type,), "campaignId": ids})
            case _:
                return cls()

    def to_json(self) -> dict[str, Any]:
        """For a step's input; days as `YYYY-MM-DD`, instants in RFC 3339."""
        window = [end.isoformat() for end in self.window] if self.window else None
        return {"window": window, "only": {name: list(values) for name, values in self.only.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Selection:
        """The reverse of `to_json`."""
        window: Window | None = None
        if value["window"]:
            first, last = value["window"]
            if "T" in first:
                window = datetime.fromisoformat(first), datetime.fromisoformat(last)
            else:
                window = date.fromisoformat(first), date.fromisoformat(last)
        return cls(window, {name: tuple(values) for name, values in value["only"].items()})

    @property
    def bounds(self) -> tuple[int, int] | None:
        """The window in microseconds since 1970, both ends included; days up to their last microsecond."""
        if not self.window:
            return None
        first, last = self.window
        if isinstance(first, datetime) and isinstance(last, datetime):
            return micros_of(first), micros_of(last)
        return bounds_of(first, last)


EVERYTHING: Final = Selection()
