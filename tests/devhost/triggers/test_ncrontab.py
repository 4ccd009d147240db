"""Timer expressions, by the rules of the real host."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from devhost.triggers.ncrontab import is_shorter_than_a_minute, parse_schedule

START = datetime(2026, 11, 24, 2, 28, 30, tzinfo=UTC)


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
        ("0 0 1 1 jan *", "2027-01-01 01:00:00"),
        ("0 0 0 * * sun", "2026-11-29 00:00:00"),
        ("0 0 0 * * Mon-Fri", "2026-11-25 00:00:00"),
        ("0 0 0 13 * 5", "2027-08-13 00:00:00"),
        ("0 0 0 29 2 *", "2028-02-29 00:00:00"),
        ("0 0 0 31 2 *", None),
        ("0 0 6,18 * * *", "2026-11-24 06:00:00"),
        ("0 0 18-6 * * *", "2026-11-24 06:00:00"),
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
    ["0 0 12 * * 7", "", "* * *", "60 * * * * *", "0 0 0 ? * *", "0 0 0 L * *", "0 */0 * * * *", "x"],
)
def test_given_a_wrong_expression_when_read_then_the_error_is_the_real_hosts(expression: str) -> None:
    with pytest.raises(ValueError, match="was not recognized as a valid cron expression or timespan string"):
        parse_schedule(expression)


def test_given_a_time_that_the_clock_skips_when_asked_then_it_still_goes_forward() -> None:
    zone = ZoneInfo("Europe/Paris")
    schedule = parse_schedule("0 30 2 * * *", zone)
    before = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
    first = schedule.next_after(before)
    assert first is not None
    second = schedule.next_after(first)
    assert second is not None
    assert timedelta(hours=20) < second - first < timedelta(hours=26)


def test_given_schedules_when_compared_with_a_minute_then_only_short_ones_are_short() -> None:
    assert is_shorter_than_a_minute(parse_schedule("*/30 * * * * *"), START)
    assert not is_shorter_than_a_minute(parse_schedule("0 * * * * *"), START)
