"""Timer expressions, by the rules of the real host; the next time against a search second by second."""

import time as clock
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devhost.errors import IndexingError
from devhost.settings import resolve
from devhost.time_spans import parse_time_span
from devhost.triggers.ncrontab import has_monitor, parse_schedule

START = datetime(2026, 11, 24, 2, 28, 30, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")
SPRING = datetime(2026, 3, 29, tzinfo=UTC)
"""Paris goes from 02:00 to 03:00 at 01:00 UTC."""
AUTUMN = datetime(2026, 10, 25, tzinfo=UTC)
"""Paris goes from 03:00 back to 02:00 at 01:00 UTC."""


def _next(expression: str, after: datetime = START) -> str | None:
    found = parse_schedule(expression, ZoneInfo("UTC")).next_after(after)
    return found and found.strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 */5 * * * *", "2026-11-24 02:30:00"),
        ("*/5 * * * *", "2026-11-24 02:30:00"),
        ("30 28 2 * * *", "2026-11-25 02:28:30"),
        ("0 10/20 * * * *", "2026-11-24 02:30:00"),
        ("0 10-20/5 * * * *", "2026-11-24 03:10:00"),
        ("0 0 1 1 jan *", "2027-01-01 01:00:00"),
        ("0 0 1 1 J *", "2027-01-01 01:00:00"),
        ("0 0 0 * * sun", "2026-11-29 00:00:00"),
        ("0 0 0 * * Mon-Fri", "2026-11-25 00:00:00"),
        ("0 0 0 13 * 5", "2027-08-13 00:00:00"),
        ("0 0 0 29 2 *", "2028-02-29 00:00:00"),
        ("0 0 0 29 2 1", "2044-02-29 00:00:00"),
        ("0 0 0 31 2 *", None),
        ("0 0 6,18 * * *", "2026-11-24 06:00:00"),
        ("0 0 18-6 * * *", "2026-11-24 06:00:00"),
        ("0 */0 * * * *", "2026-11-24 02:29:00"),
        ("  0  0   6 * * *  ", "2026-11-24 06:00:00"),
        ("00:05:00", "2026-11-24 02:33:30"),
        ("1.00:00:01", "2026-11-25 02:28:31"),
    ],
)
def test_given_an_expression_when_asked_then_the_next_time_is_right(
    expression: str, expected: str | None
) -> None:
    assert _next(expression) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 12 * * 7",
        "",
        "* * *",
        "60 * * * * *",
        "0 0 0 ? * *",
        "0 0 0 L * *",
        "0 0 0 15W * *",
        "0 0 0 * * 1#2",
        "0 0 0 0 * *",
        "0 ,5 * * * *",
        "0 5, * * * *",
        "0 1-3-5 * * * *",
        "0 */x * * * *",
        "0\t0 0 * * *",
        "x",
        "24:00",
        "00:60:00",
    ],
)
def test_given_a_wrong_expression_then_the_error_is_the_real_hosts(expression: str) -> None:
    with pytest.raises(ValueError, match="was not recognized as a valid cron expression or timespan string"):
        parse_schedule(expression)


def test_given_an_interval_of_nothing_when_read_then_it_is_refused() -> None:
    with pytest.raises(ValueError, match="without a pause"):
        parse_schedule("00:00:00")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:00:05", timedelta(seconds=5)),
        ("1:2", timedelta(hours=1, minutes=2)),
        ("24:00:00", timedelta(days=24)),
        ("25:00:00:00", timedelta(days=25)),
        ("1.12:30", timedelta(days=1, hours=12, minutes=30)),
        ("00:00:00.5", timedelta(milliseconds=500)),
        ("3", timedelta(days=3)),
        ("-00:01:00", timedelta(minutes=-1)),
        ("1.5", None),
        ("24:00:00.5", None),
    ],
)
def test_given_a_time_span_when_read_then_it_is_read_as_dotnet_does(
    text: str, expected: timedelta | None
) -> None:
    assert parse_time_span(text) == expected


def test_given_an_expression_that_never_matches_then_answered_at_once() -> None:
    began = clock.process_time()
    assert parse_schedule("0 0 0 30 2 *").next_after(START) is None
    assert clock.process_time() - began < 5  # a search day by day to the year 9999 takes minutes


# --- against a search second by second ----------------------------------------------------------------


def _field(low: int, high: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """An expression and what it means, by a second reading of the rules."""
    value = st.integers(low, high)
    star = st.just(("*", frozenset(range(low, high + 1))))
    one = value.map(lambda v: (str(v), frozenset({v})))
    span = st.tuples(value, value).map(
        lambda t: (f"{t[0]}-{t[1]}", frozenset(v for v in range(low, high + 1) if min(t) <= v <= max(t)))
    )
    step = st.tuples(value, st.integers(1, 20)).map(
        lambda t: (f"{t[0]}/{t[1]}", frozenset(v for v in range(t[0], high + 1) if (v - t[0]) % t[1] == 0))
    )
    every = st.integers(1, 20).map(
        lambda n: (f"*/{n}", frozenset(v for v in range(low, high + 1) if (v - low) % n == 0))
    )
    parts = st.lists(st.one_of(one, span, step, every), min_size=1, max_size=3)
    listed = parts.map(
        lambda found: (",".join(text for text, _ in found), frozenset().union(*(s for _, s in found)))
    )
    return st.one_of(star, one, listed)


_FIELDS = st.tuples(_field(0, 59), _field(0, 59), _field(0, 23), _field(1, 31), _field(1, 12), _field(0, 6))
_WINDOW = timedelta(days=20)


def _matches(wall: datetime, sets: list[frozenset[int]]) -> bool:
    weekday = (wall.weekday() + 1) % 7
    values = (wall.second, wall.minute, wall.hour, wall.day, wall.month, weekday)
    return all(value in allowed for value, allowed in zip(values, sets, strict=True))


def _searched(after: datetime, sets: list[frozenset[int]]) -> datetime | None:
    """Second by second, leaving out whole hours and minutes in which nothing can match."""
    second = after.replace(microsecond=0) + timedelta(seconds=1)
    while second < after + _WINDOW:
        if _matches(second, sets):
            return second
        if not _matches(second, [*[frozenset(range(60))] * 2, *sets[2:]]):
            second = second.replace(minute=0, second=0) + timedelta(hours=1)
        elif second.minute not in sets[1]:
            second = second.replace(second=0) + timedelta(minutes=1)
        else:
            second += timedelta(seconds=1)
    return None


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(fields=_FIELDS, start=st.integers(0, 86400 * 800), micros=st.sampled_from([0, 1, 999_999]))
def test_given_any_expression_then_the_next_time_is_the_first_match(
    fields: tuple[tuple[str, frozenset[int]], ...], start: int, micros: int
) -> None:
    after = datetime(2027, 1, 1, tzinfo=UTC) + timedelta(seconds=start, microseconds=micros)
    expected = _searched(after, [allowed for _, allowed in fields])
    found = parse_schedule(" ".join(text for text, _ in fields), ZoneInfo("UTC")).next_after(after)
    assert found == expected or (expected is None and (found is None or found >= after + _WINDOW))


@cache
def _around(change: datetime) -> list[tuple[datetime, datetime]]:
    """The six hours around a change of the clock: each second, and what the clock shows."""
    begin = change - timedelta(hours=2)
    moments = (begin + timedelta(seconds=n + 1) for n in range(6 * 3600))
    return [(moment, moment.astimezone(PARIS)) for moment in moments]


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(fields=st.tuples(_field(0, 59), _field(0, 59)), change=st.sampled_from([SPRING, AUTUMN]))
def test_given_an_interval_over_clock_changes_then_it_runs_by_local_time(
    fields: tuple[tuple[str, frozenset[int]], ...], change: datetime
) -> None:
    schedule = parse_schedule(f"{fields[0][0]} {fields[1][0]} * * * *", PARIS)
    seconds, minutes = fields[0][1], fields[1][1]
    around = _around(change)
    expected = [at for at, wall in around if wall.minute in minutes and wall.second in seconds][:500]
    found, at = [], schedule.next_after(around[0][0] - timedelta(seconds=1))
    while at is not None and at <= around[-1][0] and len(found) < 500:
        found.append(at)
        at = schedule.next_after(at)
    assert found == expected


@settings(max_examples=100, deadline=None)
@given(
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
    change=st.sampled_from([SPRING, AUTUMN]),
    before=st.integers(3600 * 12, 3600 * 20),
)
def test_given_a_time_of_day_over_clock_changes_then_it_runs_once_a_day(
    hour: int, minute: int, change: datetime, before: int
) -> None:
    schedule = parse_schedule(f"0 {minute} {hour} * * *", PARIS)
    at = change - timedelta(seconds=before)
    runs = []
    for _ in range(4):
        at = schedule.next_after(at)
        assert at is not None
        runs.append(at.astimezone(PARIS))
    assert all(b.date() - a.date() == timedelta(days=1) for a, b in pairwise(runs))
    for run in runs:
        skipped = run.date() == SPRING.date() and hour == 2
        assert (run.hour, run.minute) == (3 if skipped else hour, minute)
        assert run.fold == 0  # of a time that comes twice, the first


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        # the clock skips 02:00-03:00: later by an hour, and a second one in the gap is lost
        ("0 30 2 * * *", SPRING, "2026-03-29T03:30:00+02:00"),
        ("0 15,45 2 * * *", SPRING, "2026-03-29T03:15:00+02:00"),
        ("0 15,45 2 * * *", SPRING + timedelta(hours=1, minutes=15), "2026-03-30T02:15:00+02:00"),
        # 02:30 comes twice: the first; a start between the two leaves the second out
        ("0 30 2 * * *", AUTUMN, "2026-10-25T02:30:00+02:00"),
        ("0 30 2 * * *", AUTUMN + timedelta(hours=1, minutes=15), "2026-10-26T02:30:00+01:00"),
        # the same rule takes a start in winter for one after the change, and leaves a whole year out
        ("0 30 2 25 10 *", datetime(2026, 1, 1, tzinfo=UTC), "2027-10-25T02:30:00+02:00"),
        # written out, */2 holds no run, so it counts as points in time
        ("0 30 */2 * * *", AUTUMN + timedelta(minutes=45), "2026-10-25T04:30:00+01:00"),
        # an interval whose next time is tomorrow, asked in the hour that comes twice: an hour early
        ("0 0-1 2 * * *", AUTUMN + timedelta(minutes=1), "2026-10-26T01:00:00+01:00"),
    ],
)
def test_given_a_clock_change_when_asked_then_the_answer_is_the_real_hosts(
    expression: str, after: datetime, expected: str
) -> None:
    found = parse_schedule(expression, PARIS).next_after(after)
    assert found is not None
    assert found.astimezone(PARIS).isoformat() == expected


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York", "Australia/Lord_Howe"])
def test_given_no_time_zone_then_the_local_time_of_the_process_counts(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    clock.tzset()
    try:
        for expression in ("0 */10 * * * *", "0 30 1 * * *", "0 15 2 * * *"):
            local, named = parse_schedule(expression), parse_schedule(expression, ZoneInfo(zone))
            for change in (SPRING, AUTUMN, datetime(2026, 3, 8, 4, tzinfo=UTC), START):
                for hours in range(-4, 12):
                    after = change + timedelta(hours=hours, minutes=7)
                    assert local.next_after(after) == named.next_after(after)
    finally:
        monkeypatch.undo()
        clock.tzset()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/30 * * * * *", False),
        ("0,1 * * * * *", False),
        ("0 * * * * *", True),
        ("*/5 * * * *", True),
        # more than once a minute, but not in every one: the real host keeps the status
        ("*/10 0-30 * * * *", True),
        ("00:00:59", False),
        ("00:01:00", True),
    ],
)
def test_given_a_schedule_of_many_runs_a_minute_then_it_has_no_status(
    expression: str, expected: bool
) -> None:
    assert has_monitor(parse_schedule(expression), START + timedelta(milliseconds=3)) is expected


_NOT_RECOGNIZED = (
    "Extensions: The schedule expression '{}' was not recognized as a valid cron expression or timespan"
    " string."
)


@pytest.mark.parametrize(
    ("function", "schedule", "recorded"),
    [
        ("missing", "%MISSING%", "Host: '%MISSING%' does not resolve to a value."),
        ("bad_sched", "not a cron", _NOT_RECOGNIZED.format("not a cron")),
        ("dow7", "0 0 12 * * 7", _NOT_RECOGNIZED.format("0 0 12 * * 7")),
    ],
)
def test_given_a_refused_schedule_then_the_text_is_the_recorded_one(
    function: str, schedule: str, recorded: str
) -> None:
    with pytest.raises(IndexingError) as told:
        parse_schedule(resolve(schedule, {}))
    where = f"Microsoft.Azure.WebJobs.Host: Error indexing method 'Functions.{function}'"
    assert told.value.of(function) == f"{where}. Microsoft.Azure.WebJobs.{recorded}"
