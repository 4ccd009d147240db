"""What a caller may ask the pipeline for, and the id that the request itself makes.

The same request has the same id, so asking twice is the same export. Source: design section 4.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from mobexport import config, export_types
from mobexport.errors import MobexportError, Problem, RequestError, UnknownExportType
from mobexport.settings import Settings

_FIELDS = {"exportType", "app", "startDate", "endDate", "format", "notify", "rerun"}
_NOT_YET = {"containerUrl", "campaignType", "campaignIds", "campaignWindowStart", "campaignWindowEnd"}
_MAX_DAYS = 366


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
    export_format: str = "JsonBlob"
    destination: str | None = None
    """`host/container` of a container of the user's own; the URL with its SAS is kept elsewhere."""

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
        made_of = json.dumps([self.app, self.export_type, days, self.export_format], ensure_ascii=False)
        slug = re.sub(r"[^a-z0-9]+", "-", self.app.lower()).strip("-")[:40]
        return f"{slug}-{self.export_type.lower()}-{days}-{hashlib.sha256(made_of.encode()).hexdigest()[:10]}"

    def subject(self) -> dict[str, Any]:
        """`{app, exportType, window, snapshotDay}`: what the export is of, as every document says it."""
        return {
            "app": self.app,
            "exportType": self.export_type,
            "window": [day.isoformat() for day in self.window] if self.window else None,
            "snapshotDay": self.snapshot_day.isoformat() if self.snapshot_day else None,
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
            export_format=value["format"],
            destination=value["destination"],
        )


def parse_request(
    body: Any, exports_config: config.ExportsConfig, settings: Settings, now: datetime
) -> tuple[ExportRequest, bool]:
    """The checked request, and whether it asks to `rerun` a succeeded export.

    Raises RequestError with every problem by its field; nothing is guessed.
    """
    if not isinstance(body, Mapping):
        raise RequestError(
            "the body must be a JSON object", problems=[Problem("body", "must be a JSON object")]
        )
    reader = _Reader(body, exports_config, settings)
    export_type = reader.export_type()
    app = reader.app()
    window = reader.window(export_type)
    strict, notify = reader.app_choices(app)
    rerun = body.get("rerun", False)
    if not isinstance(rerun, bool):
        reader.wrong("rerun", "must be true or false")
    if body.get("format", "JsonBlob") != "JsonBlob":
        reader.wrong("format", "must be JsonBlob")
    reader.unknown_fields()
    if reader.problems:
        raise RequestError(
            "; ".join(f"{field}: {message}" for field, message in reader.problems), problems=reader.problems
        )
    assert export_type is not None
    day = None if export_type.historical else now.astimezone(UTC).date()
    return ExportRequest(app, export_type.name, window, day, notify, strict, now), bool(rerun)


class _Reader:
    """Reads a body field by field and keeps what is wrong."""

    def __init__(
        self, body: Mapping[str, Any], exports_config: config.ExportsConfig, settings: Settings
    ) -> None:
        self._body = body
        self._config = exports_config
        self._settings = settings
        self.problems: list[Problem] = []

    def wrong(self, field: str, message: str) -> None:
        self.problems.append(Problem(field, message))

    def export_type(self) -> export_types.ExportType | None:
        value = self._body.get("exportType")
        if not isinstance(value, str):
            self.wrong("exportType", f"must be one of {_type_names()}")
            return None
        try:
            return export_types.get(value)
        except UnknownExportType:
            self.wrong("exportType", f"must be one of {_type_names()}")
            return None

    def app(self) -> str:
        value = self._body.get("app")
        if value is None and len(self._config.apps) == 1:
            return next(iter(self._config.apps))
        if not isinstance(value, str):
            self.wrong("app", "must name one of the apps in exports.toml")
            return ""
        try:
            config.find_app(self._config, self._settings, value)
        except MobexportError as error:
            self.wrong("app", error.message)
        return value

    def app_choices(self, app: str) -> tuple[bool, tuple[str, ...]]:
        """Strictness and targets: the app's, unless the request chooses among the targets."""
        own = self._config.apps.get(app, config.App())
        chosen = self._body.get("notify")
        if chosen is None:
            return own.checks == "strict", own.notify
        if not isinstance(chosen, list) or not all(isinstance(name, str) for name in chosen):
            self.wrong("notify", "must be a list of target names")
            return False, ()
        for name in chosen:
            if name not in self._config.targets:
                known = ", ".join(sorted(self._config.targets)) or "none"
                self.wrong("notify", f"there is no target {name!r} in exports.toml; there are: {known}")
        return own.checks == "strict", tuple(dict.fromkeys(chosen))

    def window(self, export_type: export_types.ExportType | None) -> tuple[date, date] | None:
        if export_type is None:
            return None
        if not export_type.historical:
            for field in ("startDate", "endDate"):
                if self._body.get(field) is not None:
                    self.wrong(field, f"{export_type.name} is a snapshot and has no dates")
            return None
        start, end = self._date("startDate"), self._date("endDate")
        if start is None or end is None:
            return None
        if start > end:
            self.wrong("endDate", "must not be before startDate")
        elif (end - start).days >= _MAX_DAYS:
            self.wrong("endDate", f"must be less than {_MAX_DAYS} days after startDate")
        return start, end

    def _date(self, field: str) -> date | None:
        value = self._body.get(field)
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            try:
                return date.fromisoformat(value)
            except ValueError:
                pass
        self.wrong(field, "must be a date such as 2025-03-23")
        return None

    def unknown_fields(self) -> None:
        for field in sorted(set(self._body) - _FIELDS):
            if field in _NOT_YET:
                self.wrong(field, "is not supported by this version")
            else:
                self.wrong(
                    field, f"is no field of an export request; there are: {', '.join(sorted(_FIELDS))}"
                )


def _type_names() -> str:
    return ", ".join(export_type.name for export_type in export_types.all_types())
