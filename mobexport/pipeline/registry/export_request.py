"""Export requests, and ids made of them: the same request is the same export.

Source: design section 4; names of the parameters: the Export API's contract.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from mobexport import export_types
from mobexport.blob_paths import slug
from mobexport.export_types import Parameters
from mobexport.records.formats import ExportFormat

_ID: Final = re.compile(r"[a-z0-9-]{1,150}")


def is_id(text: str) -> bool:
    """Whether an export or a batch could have that id: anything else is no key to ask storage for."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True)
class Campaign:
    """Selection of pushes: those of one kind of campaign, by ids or by time."""

    type: str
    ids: tuple[int, ...] = ()
    window: tuple[str, str] | None = None
    """First and last instant, RFC 3339 in UTC; with `ids`: None."""

    def parameters(self) -> dict[str, Any]:
        """As the contract names them."""
        if self.window is None:
            return {"campaignType": self.type, "campaignIds": list(self.ids)}
        start, end = self.window
        return {"campaignType": self.type, "campaignWindowStart": start, "campaignWindowEnd": end}

    @classmethod
    def from_parameters(cls, value: Mapping[str, Any]) -> Campaign:
        """The reverse of `parameters`."""
        if "campaignIds" in value:
            return cls(value["campaignType"], tuple(value["campaignIds"]))
        window = (value["campaignWindowStart"], value["campaignWindowEnd"])
        return cls(value["campaignType"], window=window)


@dataclass(frozen=True)
class ExportRequest:
    """A checked request; `window` is the days of a historical export, `snapshot_day` a snapshot's UTC day."""

    app: str
    export_type: str
    window: tuple[date, date] | None
    snapshot_day: date | None
    notify: tuple[str, ...]
    strict: bool
    requested_at: datetime
    export_format: ExportFormat = ExportFormat.JSON
    destination: str | None = None
    """`host/container` of a container of the user's own; the URL with its SAS is kept elsewhere."""
    campaign: Campaign | None = None
    """For types that are asked for by campaign (Push)."""

    @property
    def days(self) -> tuple[date, ...]:
        """The days that this export replaces: every one of the window, or the snapshot's own."""
        if self.window is None:
            assert self.snapshot_day is not None
            return (self.snapshot_day,)
        first, last = self.window
        return tuple(first + timedelta(days=n) for n in range((last - first).days + 1))

    @property
    def id(self) -> str:
        """`[a-z0-9-]{1,100}`: readable start, then a hash of everything that makes the request."""
        days = "-".join(day.isoformat() for day in (self.window or (self.days[0],)))
        parts: list[Any] = [self.app, self.export_type, days, self.export_format]
        # Only where there is one: what was asked for before there were any keeps its id.
        parts += [self.destination] if self.destination else []
        parts += [self.campaign.parameters()] if self.campaign else []
        digest = hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:20]
        kind = f"{self.export_type}-{self.campaign.type}" if self.campaign else self.export_type
        return f"{slug(self.app)}-{kind.lower()}-{days}-{digest}"

    @property
    def route(self) -> str:
        """Last segment of the Export API's POST for this request."""
        for route in export_types.get(self.export_type).routes:
            if (route.parameters is Parameters.FEEDBACK_CAMPAIGNS) == bool(
                self.campaign and self.campaign.ids
            ):
                return route.name
        raise AssertionError("the request was checked against the type's routes")

    def parameters(self) -> dict[str, Any]:
        """The parameters of the Export API's body besides target and format."""
        if self.campaign:
            return self.campaign.parameters()
        if self.window:
            return dict(zip(("startDate", "endDate"), (day.isoformat() for day in self.window), strict=True))
        return {}

    def subject(self) -> dict[str, Any]:
        """`{app, exportType, window, snapshotDay}`, and the campaign's parameters, if any: the
        export's subject, as every document names it."""
        return {
            "app": self.app,
            "exportType": self.export_type,
            "window": [day.isoformat() for day in self.window] if self.window else None,
            "snapshotDay": self.snapshot_day.isoformat() if self.snapshot_day else None,
            **(self.campaign.parameters() if self.campaign else {}),
        }

    def to_json(self) -> dict[str, Any]:
        return {
            **self.subject(),
            "notify": list(self.notify),
            "strict": self.strict,
            "requestedAt": self.requested_at.isoformat(),
            "format": self.export_format,
            "destination": self.destination,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ExportRequest:
        window, day = value["window"], value["snapshotDay"]
        return cls(
            app=value["app"],
            export_type=value["exportType"],
            window=(date.fromisoformat(window[0]), date.fromisoformat(window[1])) if window else None,
            snapshot_day=date.fromisoformat(day) if day else None,
            notify=tuple(value["notify"]),
            strict=value["strict"],
            requested_at=datetime.fromisoformat(value["requestedAt"]),
            export_format=ExportFormat(value["format"]),
            destination=value["destination"],
            campaign=Campaign.from_parameters(value) if "campaignType" in value else None,
        )
