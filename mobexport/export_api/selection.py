"""Which records a task asks for, and as what: the part of a request body that the export itself needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from mobexport.contract import (
    DateRangeExportTaskParameter,
    ExportTaskParameter,
    FeedbackByCampaignParameter,
    FeedbackByDateRangeParameter,
)


@dataclass(frozen=True)
class Selection:
    """Conditions that a record must meet, all of them; None where the body has no such condition."""

    days: tuple[date, date] | None = None
    """UTC days of the type's time field, both included."""
    instants: tuple[datetime, datetime] | None = None
    """Bounds of the type's time field, in UTC, both included."""
    campaign_type: str | None = None
    """Value of the field `campaignType`."""
    campaign_ids: tuple[int, ...] | None = None
    """Values of the field `campaignId`, each once, ascending."""

    @classmethod
    def of(cls, body: ExportTaskParameter) -> Selection:
        """What a checked request body selects."""
        match body:
            case DateRangeExportTaskParameter():
                return cls(days=(body.start_date, body.end_date))
            case FeedbackByDateRangeParameter():
                instants = (body.campaign_window_start, body.campaign_window_end)
                return cls(instants=instants, campaign_type=body.campaign_type)
            case FeedbackByCampaignParameter():
                ids = tuple(sorted(set(body.campaign_ids)))
                return cls(campaign_type=body.campaign_type, campaign_ids=ids)
            case _:
                return cls()

    def to_json(self) -> dict[str, Any]:
        """The conditions there are."""
        value = {
            "days": self.days and [day.isoformat() for day in self.days],
            "instants": self.instants and [at.isoformat() for at in self.instants],
            "campaignType": self.campaign_type,
            "campaignIds": self.campaign_ids and list(self.campaign_ids),
        }
        return {name: item for name, item in value.items() if item is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Selection:
        days, instants, ids = (value.get(name) for name in ("days", "instants", "campaignIds"))
        return cls(
            days=(date.fromisoformat(days[0]), date.fromisoformat(days[1])) if days else None,
            instants=(datetime.fromisoformat(instants[0]), datetime.fromisoformat(instants[1]))
            if instants
            else None,
            campaign_type=value.get("campaignType"),
            campaign_ids=tuple(ids) if ids else None,
        )


EVERYTHING: Final = Selection()
