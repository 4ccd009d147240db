"""The days of an app: raw files and exported rows, by type."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from curated import storage_of

from mobexport.config import ExportsConfig
from mobexport.day_map import MAX_MAP_DAYS, DayMap
from mobexport.errors import NotFound, RequestError
from mobexport.export_types import get
from mobexport.pages.calendar_view import calendar, missing, pages
from mobexport.pages.charts import columns, durations, reject_rates, rows_by_day
from mobexport.settings import read_settings
from mobexport.tables.commit import NewFile, TableCommit
from mobexport.tables.tables import Tables

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CONFIG = {"apps": {"days": {}, "mapped": {"raw": {"events": {"path": "logs/**"}}}}}


@pytest.fixture(scope="module")
def look(azurite) -> DayMap:
    """An account with raw events of three days, two of them exported, one of those without rows."""
    storage = storage_of(azurite)
    raw = storage.container("raw")
    for name in ("days/events/2026-11-20/a.ndjson", "days/events/2026-11-20/b.ndjson"):
        raw.upload_blob(name, b"x" * 10, overwrite=True)
    for day in ("2026-10-31", "2026-11-21", "2026-11-23", "2099-01-01"):
        raw.upload_blob(f"days/events/{day}/a.ndjson", b"x", overwrite=True)
    raw.upload_blob("days/tags/2026-11-21/a.ndjson", b"x", overwrite=True)
    raw.upload_blob("logs/x.ndjson", b"x", overwrite=True)
    settings = read_settings(
        {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    )
    tables = Tables(storage)
    day = date(2026, 11, 20)
    file = NewFile("days/Event/date=2026-11-20/x.parquet", day, 7, 100)
    span = (date(2026, 11, 19), day, date(2026, 11, 21))
    tables.commit(TableCommit("days", get("Event"), "e", 1, NOW, span, (file,)))
    return DayMap(ExportsConfig.model_validate(CONFIG), settings, storage, tables)


def event_days(shown: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (kind,) = (one for one in shown["types"] if one["exportType"] == "Event")
    return {day["day"]: day for day in kind["days"]}


def test_given_raw_files_and_a_table_then_each_day_tells_both(look: DayMap) -> None:
    shown = look.show("days", {"last": "2026-11-23", "days": "5"}, NOW)
    assert (shown["first"], shown["last"]) == ("2026-11-19", "2026-11-23")
    found = event_days(shown)
    told = {day: (one["files"], one["bytes"], one["exported"], one["rows"]) for day, one in found.items()}
    assert told == {
        "2026-11-19": (0, 0, True, 0),
        "2026-11-20": (2, 20, True, 7),
        "2026-11-21": (1, 1, True, 0),
        "2026-11-22": (0, 0, False, 0),
        "2026-11-23": (1, 1, False, 0),
    }


def test_given_days_of_two_months_then_raw_files_of_both(look: DayMap) -> None:
    found = event_days(look.show("days", {"last": "2026-11-21", "days": "30"}, NOW))
    assert [day for day, one in found.items() if one["files"]] == ["2026-10-31", "2026-11-20", "2026-11-21"]


def test_given_no_day_then_up_to_the_newest_that_is_there(look: DayMap) -> None:
    shown = look.show("days", {}, NOW)
    assert shown["last"] == "2026-11-23"
    assert len(event_days(shown)) == MAX_MAP_DAYS
    assert look.show("mapped", {}, NOW)["last"] == "2026-11-24"


def test_given_names_without_days_then_files_are_not_known(look: DayMap) -> None:
    assert {day["files"] for day in event_days(look.show("mapped", {}, NOW)).values()} == {None}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"last": "soon"}, "last"),
        ({"days": "36"}, "days"),
        ({"days": "0"}, "days"),
        ({"days": "٣"}, "days"),
        ({"x": "1"}, "x"),
        ({"last": "2026-11-23,2026-11-24"}, "last"),
    ],
)
def test_given_a_wrong_option_then_it_is_named(look: DayMap, query: dict[str, str], field: str) -> None:
    with pytest.raises(RequestError) as raised:
        look.show("days", query, NOW)
    assert [name for name, _ in raised.value.problems] == [field]


def test_given_an_app_that_is_not_configured_then_not_found(look: DayMap) -> None:
    with pytest.raises(NotFound):
        look.show("other", {}, NOW)


def test_given_the_first_days_of_all_then_no_day_before_them(look: DayMap) -> None:
    with pytest.raises(RequestError):
        look.show("days", {"last": "0001-01-01"}, NOW)


def test_given_a_map_of_days_then_the_calendar_marks_them(look: DayMap) -> None:
    shown = look.show("days", {"last": "2026-11-23", "days": "5"}, NOW)
    lines = calendar(shown)
    kinds = [one["kind"] for one in shown["types"]]
    marks = {line.day: line.cells[kinds.index("events")].mark for line in lines}
    assert list(marks) == sorted(marks, reverse=True)
    assert marks == {
        "2026-11-19": "table",
        "2026-11-20": "both",
        "2026-11-21": "both",
        "2026-11-22": "none",
        "2026-11-23": "missing",
    }
    assert missing(shown) == 1
    tags = {line.day: line.cells[kinds.index("tags")].mark for line in lines}
    assert tags["2026-11-21"] == "raw"
    assert "2 files, 20 bytes" in lines[3].cells[kinds.index("events")].text
    assert pages(shown) == ("2026-11-18", "2026-11-28")


def test_given_a_type_that_cannot_be_read_then_the_others_go_on(look: DayMap, monkeypatch) -> None:
    whole = look.tables.open

    def broken(folder: str) -> Any:
        if folder == "days/Event":
            raise OSError("503")
        return whole(folder)

    monkeypatch.setattr(look.tables, "open", broken)
    shown = look.show("days", {"days": "2"}, NOW)
    wrong = [one["exportType"] for one in shown["types"] if one["error"]]
    assert wrong == ["Event"]
    assert len(calendar(shown)[0].cells) == len(shown["types"]) - 1


def test_given_days_then_columns_are_as_high_as_their_rows(look: DayMap) -> None:
    shown = look.show("days", {"last": "2026-11-23", "days": "5"}, NOW)
    charts = [chart for one in shown["types"] if (chart := rows_by_day(one))]
    (chart,) = charts
    assert [(one.label, one.text) for one in chart.columns] == [
        ("2026-11-19", "0"),
        ("2026-11-20", "7"),
        ("2026-11-21", "0"),
        ("2026-11-22", "0"),
        ("2026-11-23", "0"),
    ]
    heights = [one.height for one in chart.columns]
    assert heights[0] == heights[2] == 0
    assert chart.columns[1].y + heights[1] == pytest.approx(102)
    half = columns("t", [("a", 10, "10"), ("b", 5, "5"), ("c", 0.001, "0.001")])
    assert half is not None
    assert half.columns[1].height == pytest.approx(half.columns[0].height / 2)
    assert half.columns[2].height > 1
    assert columns("t", []) is None
    assert columns("t", [("a", 0, "0")]) is not None


def export(day: str, rejected: int, records: int, **moments: str) -> dict[str, Any]:
    counts = {"raw": None, "records": records, "rejected": rejected, "rows": records - rejected}
    return {
        "attemptBeganAt": f"{day}T00:00:00Z", "counts": counts, "state": "Succeeded", "moments": moments,
    }  # fmt: skip


def test_given_exports_of_a_day_then_their_rejects_are_one_share() -> None:
    found = reject_rates(
        [export("2026-11-21", 1, 10), export("2026-11-20", 0, 0), export("2026-11-21", 3, 30)]
    )
    assert found is not None
    assert [(one.label, one.text) for one in found.columns] == [("2026-11-21", "10 %")]
    assert reject_rates([]) is None


def test_given_moments_then_phases_in_one_scale() -> None:
    times = {"Requested": "2026-11-21T00:00:00Z", "Submitted": "2026-11-21T00:00:01Z"}
    more = {**times, "Collecting": "2026-11-21T00:00:03Z"}
    first, second = durations([export("2026-11-21", 0, 1, **times), export("2026-11-21", 0, 1, **more)])
    assert (first.total, second.total) == (1, 3)
    assert [piece.name for piece in second.pieces] == ["create", "job"]
    assert first.pieces[0].width == pytest.approx(100 / 3, abs=0.01)
    assert sum(piece.width for piece in second.pieces) == pytest.approx(100, abs=0.02)
    assert durations([export("2026-11-21", 0, 1)]) == []
