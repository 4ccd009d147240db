"""The independent count, checked on files small enough to count by eye."""

import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from demo.independent_count import Feedback, count_records

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


def test_given_a_window_then_only_its_folders_and_a_day_around_are_read(tmp_path: Path) -> None:
    for day in ("2025-03-21", "2025-03-22", "2025-03-23", "2025-03-24", "2025-03-25", "not-a-day"):
        write(tmp_path, "events", day, event("2025-03-23T10:00:00Z"))
    count = count_records(tmp_path, "app", "Event", (DAY, DAY), strict=False)
    assert (count.read, count.exported) == (3, 3)


def test_given_times_around_midnight_then_the_utc_day_decides(tmp_path: Path) -> None:
    write(
        tmp_path,
        "events",
        "2025-03-23",
        event("2025-03-24T01:30:00+02:00"),
        event("2025-03-23T23:59:59.999999Z"),
        event("2025-03-24T00:00:00Z"),
        event("2025-03-22T23:30:00.5-01:00"),
    )
    count = count_records(tmp_path, "app", "Event", (DAY, DAY), strict=False)
    assert (count.exported, count.outside_window) == (3, 1)


def test_given_lines_that_are_no_records_then_rejected_with_the_reason(
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
    count = count_records(tmp_path, "app", "Event", (DAY, DAY), strict=False)
    assert (count.read, count.exported) == (6, 1)
    assert count.reasons == {"not an object": 1, "not JSON": 2, "no deviceId": 1, "bad time": 1}


def tag(time: str, key: str, value: str) -> str:
    return f'{{"deviceId":"{GUID}","timestamp":"{time}","key":"{key}","value":{value}}}'


def test_given_tags_then_the_latest_counts_and_on_a_tie_the_later_place(tmp_path: Path) -> None:
    write(tmp_path, "tags", "2025-03-20", tag("2025-03-20T10:00:00Z", "plan", '"a"'), name="part-1.ndjson.gz")
    write(
        tmp_path,
        "tags",
        "2025-03-19",
        tag("2025-03-20T10:00:00Z", "plan", "null"),
        tag("2025-03-20T10:00:00.000Z", "gone", '"x"'),
        tag("2025-03-20T12:00:00+02:00", "gone", "null"),
    )
    count = count_records(tmp_path, "app", "Tag", None, strict=False)
    assert (count.read, count.superseded, count.removed, count.exported) == (4, 2, 1, 1)
    assert count.read == count.rejected + count.superseded + count.removed + count.exported


def test_given_strict_checks_then_events_without_all_guids_are_rejects(
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
    count = count_records(tmp_path, "app", "Event", (DAY, DAY), strict=True)
    assert (count.exported, count.conversion_rejects, count.rows) == (4, 3, 1)
    assert count_records(tmp_path, "app", "Event", (DAY, DAY), strict=False).rows == 4


def write_rows(root: Path, kind: str, day: str, query: str, name: str = "part-1.parquet") -> None:
    file = root / "app" / kind / day / name
    file.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(query).write_parquet(str(file))


def test_given_parquet_beside_lines_then_its_rows_count_in_their_place(
    tmp_path: Path,
) -> None:
    write(tmp_path, "tags", "2025-03-23", tag("2025-03-23T10:00:00Z", "plan", '"line"'))
    at = "TIMESTAMP '2025-03-23 10:00:00'"
    write_rows(
        tmp_path,
        "tags",
        "2025-03-23",
        f"SELECT '{GUID}' AS deviceId, {at} AS timestamp, 'plan' AS key, NULL::JSON AS value"
        f" UNION ALL SELECT NULL, {at}, 'plan', '1'::JSON"
        f" UNION ALL SELECT '{GUID}', {at}, 'other', '[1]'::JSON",
    )
    count = count_records(tmp_path, "app", "Tag", None, strict=False)
    assert (count.read, count.rejected, count.superseded, count.removed, count.exported) == (4, 1, 1, 1, 1)
    assert count.values == {(GUID, "other"): 1}


def line(**fields: object) -> str:
    return json.dumps({"deviceId": GUID, **fields})


def test_given_a_session_told_twice_then_first_start_and_last_end_count(
    tmp_path: Path,
) -> None:
    write(
        tmp_path,
        "sessions",
        "2025-03-23",
        line(sessionId="a", start="2025-03-23T10:00:00Z", end="2025-03-23T10:09:00Z"),
        line(sessionId="a", start="2025-03-23T09:00:00Z", infoId="first"),
        line(sessionId="b", start="2025-03-23T00:10:00Z", end="2025-03-23T00:20:00Z"),
        line(sessionId="b", start="2025-03-22T23:50:00Z", end="2025-03-23T00:00:00Z"),
        line(sessionId="c", start="2025-03-23T10:00:00Z", end="later"),
    )
    count = count_records(tmp_path, "app", "Session", (DAY, DAY), strict=False)
    assert (count.read, count.rejected, count.outside_window, count.superseded) == (5, 1, 1, 2)
    assert count.values == {("a", GUID, us("09:00:00"), us("10:09:00")): 1}


def us(clock: str) -> int:
    at = datetime.fromisoformat(f"2025-03-23T{clock}+00:00")
    return int(at.timestamp()) * 1_000_000


def test_given_a_job_told_again_then_latest_end_wins_or_on_a_tie_last_line(
    tmp_path: Path,
) -> None:
    start = "2025-03-23T09:00:00Z"
    write(
        tmp_path,
        "jobs",
        "2025-03-23",
        line(jobId="a", name="done", start=start, end="2025-03-23T10:00:00Z"),
        line(jobId="a", name="running", start=start),
        line(jobId="b", name="early", start=start, end="2025-03-23T10:00:00Z"),
        line(jobId="b", name="late", start=start, end="2025-03-23T12:00:00+02:00"),
    )
    count = count_records(tmp_path, "app", "Job", (DAY, DAY), strict=False)
    assert {values[2] for values in count.values} == {"done", "late"}
    assert (count.superseded, count.exported) == (2, 2)


def test_given_pushes_then_distinct_flags_in_time_order_as_asked_for(
    tmp_path: Path,
) -> None:
    def push(campaign: int, second: int, status: str, kind: str = "Poll") -> str:
        at = f"2025-03-23T10:00:{second:02}Z"
        return line(campaignType=kind, campaignId=campaign, timestamp=at, status=status)

    write(
        tmp_path,
        "pushes",
        "2025-03-23",
        push(1, 9, "Dropped"),
        push(1, 5, "Queued"),
        push(1, 9, "Queued"),
        push(2, 5, "Queued"),
        push(1, 5, "Queued", kind="DataPush"),
        push(1, 5, "Seen"),
        push(1, 5, "Queued").replace('"campaignId": 1', '"campaignId": "1"'),
    )
    count = count_records(tmp_path, "app", "Push", None, strict=False, feedback=Feedback("Poll", (1,)))
    assert count.values == {(GUID, "Poll", 1, '["Queued","Dropped"]'): 1}
    assert (count.read, count.rejected, count.outside_window, count.superseded) == (7, 2, 2, 2)
    window = (datetime(2025, 3, 23, 10, 0, 5, tzinfo=UTC), datetime(2025, 3, 23, 10, 0, 8, tzinfo=UTC))
    timed = count_records(
        tmp_path, "app", "Push", None, strict=False, feedback=Feedback("Poll", window=window)
    )
    assert timed.values == {(GUID, "Poll", n, '["Queued"]'): 1 for n in (1, 2)}


def test_given_tokens_then_the_newest_of_each_type_counts_if_valid(tmp_path: Path) -> None:
    def token(kind: str, second: int, text: str, valid: object) -> str:
        return line(type=kind, timestamp=f"2025-03-23T10:00:{second:02}Z", token=text, valid=valid)

    write(
        tmp_path,
        "tokens",
        "2025-03-23",
        token("gcm", 5, "new", True),
        token("gcm", 4, "old", True),
        token("apns", 5, "a", True),
        token("apns", 5, "b", False),
        token("wns", 1, "x", "yes"),
    )
    count = count_records(tmp_path, "app", "Token", None, strict=False)
    assert count.values == {(GUID, "new", "gcm"): 1}
    assert (count.read, count.rejected, count.superseded, count.removed) == (5, 1, 2, 1)


def test_given_devices_and_tags_then_tags_join_a_device_or_are_outside(
    tmp_path: Path,
) -> None:
    def device(second: int, **told: object) -> str:
        return line(timestamp=f"2025-03-23T10:00:{second:02}Z", **told)

    write(
        tmp_path,
        "devices",
        "2025-03-23",
        device(3, meta={"firstSeen": 7, "lastSeen": 9}, info=None),
        device(2, meta={"firstSeen": 5, "lastSeen": 99}, info={"phoneModel": "old"}),
        device(1, location={"region": "here"}),
        device(4, info={"phoneModel": 4}),
        device(5, meta={"lastSeen": 1.0}),
    )
    other = tag("2025-03-23T10:00:00Z", "plan", '"c"').replace(GUID, "other")
    write(
        tmp_path,
        "tags",
        "2025-03-23",
        tag("2025-03-23T10:00:00Z", "plan", '"a"'),
        tag("2025-03-23T11:00:00Z", "plan", '"b"'),
        tag("2025-03-23T10:00:00Z", "gone", "null"),
        other,
    )
    count = count_records(tmp_path, "app", "Device", None, strict=False)
    assert count.values == {(GUID, 5, 99, "old", "here"): 1}
    assert (count.read, count.rejected, count.outside_window, count.superseded, count.removed) == (
        9,
        2,
        1,
        4,
        1,
    )
