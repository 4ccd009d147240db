"""Bodies of batches: export types times windows, each pair an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from mobexport import config, export_types
from mobexport.errors import Problem, RequestError
from mobexport.export_types import ExportType
from mobexport.pipeline.registry.export_request import Campaign, ExportRequest
from mobexport.pipeline.requests.batches import MAX_EXPORTS, Batch, new_batch
from mobexport.pipeline.requests.request_parsing import MAX_DAYS, BodyReader, by_campaign, campaign_types
from mobexport.settings import Settings

MAX_PARALLEL: Final = 32
FIELDS: Final = frozenset(
    {"exportTypes", "app", "startDate", "endDate", "windowDays", "notify", "rerun", "parallel"}
)


def parse_batch(body: Any, exports_config: config.ExportsConfig, settings: Settings, now: datetime) -> Batch:
    """The batch in a JSON body.

    `windowDays` (default 1) cuts startDate…endDate into windows of so many days. Types that take no dates
    are exported once; Push once for each kind of campaign, over the same days. Raises RequestError that
    lists every problem by the body's field.
    """
    if not isinstance(body, Mapping):
        problem = "must be a JSON object"
        raise RequestError(f"the body {problem}", problems=[Problem("body", problem)])
    reader = BodyReader(body, exports_config, settings, now)
    app = reader.app()
    strict, notify = reader.app_choices(app)
    rerun = reader.flag("rerun")
    types = _types(reader, body.get("exportTypes"))
    dated = any(one.historical or by_campaign(one) for one in types)
    window = reader.dates() if dated else None
    days = _number(reader, body, "windowDays", 1, MAX_DAYS)
    own = exports_config.apps.get(app, config.App())
    parallel = _number(reader, body, "parallel", own.parallel, MAX_PARALLEL)
    reader.unknown_fields(FIELDS)
    reader.raise_problems()
    requests = [
        replace(request, notify=notify, strict=strict)
        for request in make_requests(app, types, windows(window, days) if window else (), now)
    ]
    if len(requests) > MAX_EXPORTS:
        message = f"would be {len(requests)} exports; a batch holds {MAX_EXPORTS}"
        raise RequestError(message, problems=[Problem("windowDays", message)])
    return new_batch("batch", requests, parallel=parallel, rerun=rerun)


def windows(window: tuple[date, date], days: int) -> tuple[tuple[date, date], ...]:
    """The days from the first to the last of `window` in windows of so many; the last may be shorter."""
    first, last = window
    starts = (first + timedelta(days=n) for n in range(0, (last - first).days + 1, days))
    # Never past `last`, behind which there may be no day.
    return tuple((start, start + timedelta(days=min(days - 1, (last - start).days))) for start in starts)


def make_requests(
    app: str, types: tuple[ExportType, ...], spans: tuple[tuple[date, date], ...], now: datetime
) -> list[ExportRequest]:
    """Each type over each span, day by day; types without dates once, Push once for each kind of campaign,
    over all spans."""
    today = now.astimezone(UTC).date()
    made = [
        ExportRequest(app, one.name, span, None, (), False, now)
        for span in spans
        for one in types
        if one.historical
    ]
    for one in types:
        if one.historical:
            continue
        if not by_campaign(one):
            made.append(ExportRequest(app, one.name, None, today, (), False, now))
            continue
        between = _instants(spans[0][0], spans[-1][1])
        made += [
            ExportRequest(app, one.name, None, today, (), False, now, campaign=Campaign(kind, window=between))
            for kind in campaign_types(one)
        ]
    return made


def _instants(first: date, last: date) -> tuple[str, str]:
    end = datetime.combine(last, time.max, UTC)
    return f"{first.isoformat()}T00:00:00Z", end.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _types(reader: BodyReader, value: Any) -> tuple[ExportType, ...]:
    if value is None:
        return export_types.all_types()
    if not isinstance(value, list) or not value:
        reader.wrong("exportTypes", "must be a list of export types")
        return ()
    found = [reader.known_type("exportTypes", name) for name in value]
    return tuple(dict.fromkeys(one for one in found if one is not None))


def _number(reader: BodyReader, body: Mapping[str, Any], name: str, default: int, most: int) -> int:
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        reader.wrong(name, f"must be a whole number from 1 to {most}")
        return default
    return value
