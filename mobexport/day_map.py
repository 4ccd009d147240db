"""The days of an app: raw files that are there, and rows that are in the tables, by type."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from mobexport import export_types
from mobexport.config import App, ExportsConfig, find_app
from mobexport.contract import read_day
from mobexport.errors import Problem, RequestError
from mobexport.export_api.writer.raw_layout import RawLayout, Skip
from mobexport.export_types.model import ExportType
from mobexport.settings import Settings
from mobexport.storage import DataStorage, known_error
from mobexport.tables.commit import day_column, table_folder

if TYPE_CHECKING:
    from mobexport.tables.tables import Tables

MAX_MAP_DAYS: Final = 35
"""Days that one look covers: it lists blobs of each type, and shows each day."""
OPTIONS: Final = ("last", "days")


@dataclass(frozen=True)
class DayMap:
    """Looks at days over one data account."""

    config: ExportsConfig
    settings: Settings
    storage: DataStorage
    tables: Tables

    def show(self, app: str, query: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """Each type's days up to `last` (default: the newest with raw data). Raises NotFound, RequestError.

        Two questions for each type: a list of raw blobs for each month, and the table's log. A type whose
        table or raw data cannot be read has an `error`; the others go on.
        """
        own = find_app(self.config, self.settings, app)
        first, last = _span(query, lambda: self._newest(app, own, now.astimezone(UTC).date()))
        shown = [self._type(app, own, one, (first, last)) for one in export_types.all_types()]
        return {"app": app, "first": str(first), "last": str(last), "types": shown}

    def _newest(self, app: str, own: App, today: date) -> date:
        """The newest day that has a folder of raw data, not after today; today if there is none.

        Where a mapping names the files there are no such folders: its days do not count.
        """
        found = [date.min]
        for declared in export_types.all_types():
            layout = RawLayout(app, declared.kind, own.raw.get(declared.kind))
            if layout.is_usual:
                where = layout.container(self.settings.raw_container)
                names = self.storage.list_folders(where, f"{app}/{declared.kind}/")
                found += [day for name in names if (day := _day(name.rstrip("/"))) and day <= today]
        newest = max(found)
        return today if newest == date.min else newest

    def _type(self, app: str, own: App, declared: ExportType, span: tuple[date, date]) -> dict[str, Any]:
        about = {"exportType": declared.name, "kind": declared.kind, "historical": declared.historical}
        layout = RawLayout(app, declared.kind, own.raw.get(declared.kind))
        try:
            raw = self._raw(layout, span)
            exported, rows = self._table(app, declared)
        except Exception as raised:
            if (error := known_error(raised)) is None:
                raise
            return {**about, "days": [], "error": error.message}
        days = []
        for number in range((span[1] - span[0]).days + 1):
            day = span[0] + timedelta(days=number)
            files, size = (None, None) if raw is None else raw.get(day, (0, 0))
            told = {"files": files, "bytes": size, "exported": day in exported, "rows": rows[day]}
            days.append({"day": str(day), **told})
        return {**about, "days": days, "error": None}

    def _raw(self, layout: RawLayout, span: tuple[date, date]) -> dict[date, tuple[int, int]] | None:
        """(files, bytes) by the day of the folder; None where the names tell none."""
        where = layout.container(self.settings.raw_container)
        # A month at a time where the folders are days: a list for each day is 35 calls.
        prefixes = _months(layout, span) if layout.is_usual else layout.prefixes(span)
        blobs = {blob.name: blob for one in prefixes for blob in self.storage.list_blobs(where, one)}
        found: dict[date, tuple[int, int]] = {}
        for blob in blobs.values():
            verdict = layout.judge(blob.name)
            if isinstance(verdict, Skip):
                continue
            if verdict.day is None:
                return None
            if span[0] <= verdict.day <= span[1]:
                count, size = found.get(verdict.day, (0, 0))
                found[verdict.day] = (count + 1, size + blob.size)
        return found

    def _table(self, app: str, declared: ExportType) -> tuple[set[date], Counter[date]]:
        """Days that some export replaced, and the rows of each day."""
        # Heavy: Delta and Arrow, for this look alone.
        from mobexport.tables.active_files import active_files
        from mobexport.tables.tables import as_our_errors

        folder, column = table_folder(app, declared.name), day_column(declared)
        rows: Counter[date] = Counter()
        with as_our_errors(folder):
            table = self.tables.open(folder)
            if table is None:
                return set(), rows
            for file in active_files(table):
                rows[date.fromisoformat(file.partition[column])] += file.rows
            known = self.tables.transactions(folder, table)
        named = (re.match(rf"{column}=(\d{{4}}-\d\d-\d\d)", name) for name in known)
        return {date.fromisoformat(match[1]) for match in named if match} | set(rows), rows


def _months(layout: RawLayout, span: tuple[date, date]) -> list[str]:
    days = (date.fromordinal(day) for day in range(span[0].toordinal(), span[1].toordinal() + 1))
    return list(dict.fromkeys(f"{layout.app}/{layout.kind}/{day.isoformat()[:8]}" for day in days))


def _day(text: str) -> date | None:
    try:
        return read_day(text)
    except ValueError:
        return None


def _span(query: Mapping[str, str], newest: Callable[[], date]) -> tuple[date, date]:
    """First and last day. Raises RequestError that lists every option that is wrong or unknown."""
    # A function key may stand in the query too.
    given = {name.lower(): value for name, value in query.items() if name.lower() != "code"}
    problems = [
        Problem(name, f"is not an option here; there are: {', '.join(OPTIONS)}")
        for name in given
        if name not in OPTIONS
    ]
    last, days = None, MAX_MAP_DAYS
    try:
        last = read_day(given["last"]) if given.get("last") else None
    except ValueError as error:
        problems.append(Problem("last", str(error)))
    text = given.get("days") or str(MAX_MAP_DAYS)
    if re.fullmatch(r"[0-9]{1,3}", text, re.ASCII) and 1 <= int(text) <= MAX_MAP_DAYS:
        days = int(text)
    else:
        problems.append(Problem("days", f"must be a whole number from 1 to {MAX_MAP_DAYS}"))
    if problems:
        raise RequestError.of(problems)
    last = last or newest()
    return date.fromordinal(max(last.toordinal() - days + 1, date.min.toordinal())), last
