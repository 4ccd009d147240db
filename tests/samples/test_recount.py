"""The independent count, checked on files small enough to count by eye."""

import gzip
from datetime import date
from pathlib import Path

import pytest

from samples.recount import recount

DAY = date(2025, 3, 23)
GUID = "1f2eba2b-7cba-4ce5-8aab-248794879333"


def write(root: Path, kind: str, day: str, *lines: str, name: str = "part-0.ndjson") -> None:
    file = root / "app" / kind / day / name
    file.parent.mkdir(parents=True, exist_ok=True)
    content = "\n".join(lines).encode()
    file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


def event(time: str, **more: str) -> str:
    fields = {"deviceId": GUID, "name": "open", "timestamp": time} | more
    return "{" + ",".join(f'"{key}":"{value}"' for key, value in fields.items()) + "}"


def test_given_a_window_when_counted_then_only_its_folders_and_a_day_around_are_read(tmp_path: Path) -> None:
    for day in ("2025-03-21", "2025-03-22", "2025-03-23", "2025-03-24", "2025-03-25", "not-a-day"):
        write(tmp_path, "events", day, event("2025-03-23T10:00:00Z"))
    count = recount(tmp_path, "app", "Event", (DAY, DAY), strict=False)
    assert (count.read, count.exported) == (3, 3)


def test_given_times_around_midnight_when_counted_then_the_day_in_utc_decides(tmp_path: Path) -> None:
    write(
        tmp_path,
        "events",
        "2025-03-23",
        event("2025-03-24T01:30:00+02:00"),
        event("2025-03-23T23:59:59.999999Z"),
        event("2025-03-24T00:00:00Z"),
        event("2025-03-22T23:30:00.5-01:00"),
    )
    count = recount(tmp_path, "app", "Event", (DAY, DAY), strict=False)
    assert (count.exported, count.outside_window) == (3, 1)


def test_given_lines_that_are_no_records_when_counted_then_each_is_rejected_with_its_reason(
    tmp_path: Path,
) -> None:
    good = event("2025-03-23T10:00:00Z")
    write(
        tmp_path,
        "events",
        "2025-03-23",
        good,
        "",
        "  ",
        "[]",
        good[:-1],
        good.replace("deviceId", "device"),
        good.replace("2025-03-23T10", "2025-03-23T25"),
        good.replace('"open"', "NaN"),
    )
    count = recount(tmp_path, "app", "Event", (DAY, DAY), strict=False)
    assert (count.read, count.exported) == (6, 1)
    assert count.reasons == {"not an object": 1, "not JSON": 2, "no deviceId": 1, "bad time": 1}


def tag(time: str, key: str, value: str) -> str:
    return f'{{"deviceId":"{GUID}","timestamp":"{time}","key":"{key}","value":{value}}}'


def test_given_tags_when_counted_then_the_latest_wins_and_the_later_place_wins_a_tie(tmp_path: Path) -> None:
    write(tmp_path, "tags", "2025-03-20", tag("2025-03-20T10:00:00Z", "plan", '"a"'), name="part-1.ndjson.gz")
    write(
        tmp_path,
        "tags",
        "2025-03-19",
        tag("2025-03-20T10:00:00Z", "plan", "null"),
        tag("2025-03-20T10:00:00.000Z", "gone", '"x"'),
        tag("2025-03-20T12:00:00+02:00", "gone", "null"),
    )
    count = recount(tmp_path, "app", "Tag", None, strict=False)
    assert (count.read, count.superseded, count.removed, count.exported) == (4, 2, 1, 1)
    assert count.read == count.rejected + count.superseded + count.removed + count.exported


def test_given_strict_checks_when_counted_then_events_without_all_guids_are_conversion_rejects(
    tmp_path: Path,
) -> None:
    full = {"infoId": GUID, "sessionId": GUID.replace("-", "").upper(), "locationId": GUID}
    time = "2025-03-23T10:00:00Z"
    write(
        tmp_path,
        "events",
        "2025-03-23",
        event(time, **full),
        event(time, **full | {"locationId": "here"}),
        event(time, **full | {"deviceId": GUID + "0"}),
        event(time),
    )
    count = recount(tmp_path, "app", "Event", (DAY, DAY), strict=True)
    assert (count.exported, count.conversion_rejects, count.rows) == (4, 3, 1)
    assert recount(tmp_path, "app", "Event", (DAY, DAY), strict=False).rows == 4


def test_given_parquet_when_counted_then_it_says_that_it_cannot(tmp_path: Path) -> None:
    write(tmp_path, "events", "2025-03-23", "", name="part-0.parquet")
    with pytest.raises(ValueError, match="not Parquet"):
        recount(tmp_path, "app", "Event", (DAY, DAY), strict=False)
