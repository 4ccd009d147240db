"""Bodies of export requests, read field by field: all problems are reported at once, nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

from mobexport import config, export_types
from mobexport.container_url import check_configured_url
from mobexport.contract import MAX_CAMPAIGNS, not_come, read_day, read_instant
from mobexport.errors import MobexportError, Problem, RequestError, UnknownExportType
from mobexport.export_types import ExportType, FieldKind, Parameters
from mobexport.pipeline.registry.export_request import Campaign, ExportRequest
from mobexport.records.formats import ExportFormat
from mobexport.settings import Settings

FIELDS: Final = frozenset(
    {
        "exportType", "app", "startDate", "endDate", "format", "notify", "rerun", "containerUrl",
        "campaignType", "campaignIds", "campaignWindowStart", "campaignWindowEnd",
    }
)  # fmt: skip
_CAMPAIGN_FIELDS: Final = ("campaignType", "campaignIds", "campaignWindowStart", "campaignWindowEnd")
MAX_DAYS: Final = 366


@dataclass(frozen=True)
class ParsedRequest:
    """A checked body; `rerun` repeats a succeeded export, the container URL is a secret."""

    request: ExportRequest
    rerun: bool
    container_url: str | None = field(default=None, repr=False)


def parse_request(
    body: Any, exports_config: config.ExportsConfig, settings: Settings, now: datetime, own_endpoint: str = ""
) -> ParsedRequest:
    """The request in a JSON body. `own_endpoint` is the data account's blob endpoint.

    Raises RequestError that lists every problem by the body's field.
    """
    if not isinstance(body, Mapping):
        raise RequestError(
            "the body must be a JSON object", problems=[Problem("body", "must be a JSON object")]
        )
    reader = BodyReader(body, exports_config, settings, now)
    export_type = reader.export_type("exportType")
    app = reader.app()
    strict, notify = reader.app_choices(app)
    window = reader.window(export_type)
    campaign = reader.campaign(export_type)
    rerun = reader.flag("rerun")
    url, destination = reader.container_url(own_endpoint)
    export_format = reader.format(allow_csv=url is not None)
    reader.unknown_fields(FIELDS)
    reader.raise_problems()
    assert export_type is not None
    day = None if export_type.historical else now.astimezone(UTC).date()
    request = ExportRequest(
        app, export_type.name, window, day, notify, strict, now, export_format, destination, campaign
    )
    return ParsedRequest(request, rerun, url)


class BodyReader:
    """Reads a body field by field and collects its problems."""

    def __init__(
        self,
        body: Mapping[str, Any],
        exports_config: config.ExportsConfig,
        settings: Settings,
        now: datetime,
    ) -> None:
        self._body = body
        self._config = exports_config
        self._settings = settings
        self._now = now
        self._today = now.astimezone(UTC).date()
        self.problems: list[Problem] = []

    def wrong(self, name: str, message: str) -> None:
        self.problems.append(Problem(name, message))

    def raise_problems(self) -> None:
        """Raises RequestError if anything is wrong."""
        if self.problems:
            raise RequestError.of(self.problems)

    def export_type(self, name: str) -> ExportType | None:
        return self.known_type(name, self._body.get(name))

    def known_type(self, name: str, value: Any) -> ExportType | None:
        try:
            return export_types.get(value if isinstance(value, str) else "")
        except UnknownExportType:
            self.wrong(name, f"must be one of {', '.join(one.name for one in export_types.all_types())}")
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
        if len(chosen) > config.MAX_TARGETS:
            self.wrong("notify", f"must be at most {config.MAX_TARGETS} target names")
            return False, ()
        for name in chosen:
            if name not in self._config.targets:
                known = ", ".join(sorted(self._config.targets)) or "none"
                self.wrong("notify", f"there is no target {name[:64]!r} in exports.toml; there are: {known}")
        return own.checks == "strict", tuple(dict.fromkeys(chosen))

    def flag(self, name: str) -> bool:
        value = self._body.get(name, False)
        if not isinstance(value, bool):
            self.wrong(name, "must be true or false")
        return bool(value)

    def format(self, *, allow_csv: bool) -> ExportFormat:
        value = self._body.get("format", ExportFormat.JSON)
        if value == ExportFormat.CSV and not allow_csv:
            self.wrong("format", "CsvBlob needs a containerUrl: the pipeline itself processes JsonBlob")
        elif value not in list(ExportFormat):
            self.wrong("format", "must be JsonBlob or CsvBlob")
            return ExportFormat.JSON
        return ExportFormat(value)

    def container_url(self, own_endpoint: str) -> tuple[str | None, str | None]:
        """The container URL, and its public part: `host/container`."""
        value = self._body.get("containerUrl")
        if value is None:
            return None, None
        if not isinstance(value, str):
            self.wrong("containerUrl", "must be the URL of a container with a SAS")
            return None, None
        try:
            checked = check_configured_url(value, self._settings, self._config, own_endpoint, self._now)
        except RequestError as error:
            self.problems += error.problems
            return None, None
        return checked.url, f"{checked.host}/{checked.container}"

    def window(self, export_type: ExportType | None) -> tuple[date, date] | None:
        if export_type is None:
            return None
        if not export_type.historical:
            for name in ("startDate", "endDate"):
                if self._body.get(name) is not None:
                    self.wrong(name, f"{export_type.name} takes no dates")
            return None
        return self.dates()

    def dates(self) -> tuple[date, date] | None:
        """`startDate` and `endDate`, both included."""
        start, end = self._date("startDate"), self._date("endDate")
        if start is None or end is None:
            return None
        if start > end:
            self.wrong("endDate", "must not be before startDate")
        elif (end - start).days >= MAX_DAYS:
            self.wrong("endDate", f"must be less than {MAX_DAYS} days after startDate")
        if problem := not_come(end, self._today):
            self.wrong("endDate", problem)
        return start, end

    def _date(self, name: str) -> date | None:
        try:
            return read_day(self._body.get(name))
        except ValueError as error:
            self.wrong(name, str(error))
            return None

    def campaign(self, export_type: ExportType | None) -> Campaign | None:
        """The campaigns, by ids or by a window of time."""
        if export_type is None:
            return None
        given = [name for name in _CAMPAIGN_FIELDS if self._body.get(name) is not None]
        if not by_campaign(export_type):
            for name in given:
                self.wrong(name, f"{export_type.name} is not exported by campaign")
            return None
        kinds = campaign_types(export_type)
        kind = self._body.get("campaignType")
        if kind not in kinds:
            self.wrong("campaignType", f"must be one of {', '.join(kinds)}")
        windowed = {"campaignWindowStart", "campaignWindowEnd"} & set(given)
        if "campaignIds" not in given:
            window = self._instants()
            return Campaign(str(kind), window=window) if window else None
        if windowed:
            self.wrong("campaignIds", "give either campaignIds or a window")
        ids = self._body["campaignIds"]
        if (
            not isinstance(ids, list)
            or not 0 < len(ids) <= MAX_CAMPAIGNS
            or not all(isinstance(one, int) and not isinstance(one, bool) for one in ids)
            or not all(-(2**63) <= one < 2**63 for one in ids)
        ):
            self.wrong("campaignIds", f"must be a list of 1 to {MAX_CAMPAIGNS} integers of 64 bits")
            return None
        return Campaign(str(kind), ids=tuple(sorted(set(ids))))

    def _instants(self) -> tuple[str, str] | None:
        found = [self._instant(name) for name in ("campaignWindowStart", "campaignWindowEnd")]
        start, end = found
        if start is None or end is None:
            return None
        if start > end:
            self.wrong("campaignWindowEnd", "must not be before campaignWindowStart")
        if problem := not_come(end.date(), self._today):
            self.wrong("campaignWindowEnd", problem)
        return _utc(start), _utc(end)

    def _instant(self, name: str) -> datetime | None:
        try:
            return read_instant(self._body.get(name))
        except ValueError as error:
            self.wrong(name, str(error))
            return None

    def unknown_fields(self, known: frozenset[str]) -> None:
        for name in sorted(set(self._body) - known):
            self.wrong(name, f"is not a field here; there are: {', '.join(sorted(known))}")


def by_campaign(export_type: ExportType) -> bool:
    """Whether a type is requested by campaign."""
    feedback = (Parameters.FEEDBACK_DATES, Parameters.FEEDBACK_CAMPAIGNS)
    return any(route.parameters in feedback for route in export_type.routes)


def campaign_types(export_type: ExportType) -> tuple[str, ...]:
    """The kinds of campaign of such a type, from its declaration."""
    return next(
        one.choices for one in export_type.fields if one.name == "campaignType" and one.kind is FieldKind.TEXT
    )


def _utc(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
