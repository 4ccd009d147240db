"""What a request selects of the records of its type; changes when a request can ask for something new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from mobexport.duck import literal
from mobexport.export_types.model import ExportType, FieldKind

if TYPE_CHECKING:
    from mobexport.contract import ExportTaskParameter

Window = tuple[date, date] | tuple[datetime, datetime]


class ExportFormat(StrEnum):
    """`exportFormat` of a request."""

    JSON = "JsonBlob"
    CSV = "CsvBlob"

    @property
    def extension(self) -> str:
        """Ending of the file's name."""
        return "csv" if self is ExportFormat.CSV else "json"

    @property
    def content_type(self) -> str:
        """Content type of the file."""
        return "text/csv; charset=utf-8" if self is ExportFormat.CSV else "application/json"


@dataclass(frozen=True)
class Selection:
    """Records that are not selected count as outside; nothing given selects all."""

    window: Window | None = None
    """First and last UTC day, or instant (with a time zone), of the time field; both included."""
    only: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)
    """For fields by name, the values that are selected: `{"campaignType": ("Poll",), "campaignId": (7,)}`."""

    @classmethod
    def of(cls, body: ExportTaskParameter) -> Selection:
        """What a checked request body selects; campaign ids ascending, each once."""
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
        """What `to_json` made."""
        window: Window | None = None
        if value["window"]:
            first, last = value["window"]
            if "T" in first:
                window = datetime.fromisoformat(first), datetime.fromisoformat(last)
            else:
                window = date.fromisoformat(first), date.fromisoformat(last)
        return cls(window, {name: tuple(values) for name, values in value["only"].items()})

    def in_window(self, instant: str) -> str:
        """The window as a condition on the SQL expression of a TIMESTAMP in UTC."""
        if not self.window:
            return "true"
        first, last = self.window
        if isinstance(first, datetime) and isinstance(last, datetime):
            ends = [
                literal(end.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")) for end in (first, last)
            ]
            return f"{instant} BETWEEN TIMESTAMP {ends[0]} AND TIMESTAMP {ends[1]}"
        # Up to the day's last microsecond: the day after the last one there is cannot be said.
        return f"{instant} BETWEEN TIMESTAMP '{first} 00:00:00' AND TIMESTAMP '{last} 23:59:59.999999'"

    def among(self, export_type: ExportType) -> str:
        """`only` as a condition on columns `v_{name}`. Raises KeyError for a field not of the group."""
        conditions = []
        for name, values in self.only.items():
            if name not in export_type.group:
                raise KeyError(name)
            if export_type.field(name).kind is FieldKind.INTEGER:
                allowed = ", ".join(str(int(value)) for value in values)
                conditions.append(f'try_cast("v_{name}" AS BIGINT) IN ({allowed})')
            else:
                allowed = ", ".join(literal(str(value)) for value in values)
                conditions.append(f'"v_{name}" IN ({allowed})')
        return " AND ".join(conditions) or "true"


EVERYTHING: Final = Selection()
