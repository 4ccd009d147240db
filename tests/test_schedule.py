"""Which days a schedule makes due: time zones, clock changes, days that were missed."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mobexport.schedule import CATCH_UP_DAYS, Schedule

BERLIN = Schedule.model_validate({"at": "02:30", "time_zone": "Europe/Berlin"})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "day", "due"),
    [
        ({"at": "03:00"}, date(2026, 3, 27), "2026-03-28T03:00"),
        # Berlin, UTC+1 and +2: on 29 March there is no 02:30, on 25 October there are two.
        ({"at": "02:30", "time_zone": "Europe/Berlin"}, date(2026, 3, 27), "2026-03-28T01:30"),
        ({"at": "02:30", "time_zone": "Europe/Berlin"}, date(2026, 3, 28), "2026-03-29T01:30"),
        ({"at": "02:30", "time_zone": "Europe/Berlin"}, date(2026, 3, 29), "2026-03-30T00:30"),
        ({"at": "02:30", "time_zone": "Europe/Berlin"}, date(2026, 10, 24), "2026-10-25T00:30"),
        ({"at": "02:30", "time_zone": "Europe/Berlin"}, date(2026, 10, 25), "2026-10-26T01:30"),
        # Yesterday is the zone's: west of Greenwich it begins later, east of it earlier.
        ({"at": "03:00", "time_zone": "America/Los_Angeles"}, date(2026, 1, 1), "2026-01-02T11:00"),
        ({"at": "03:00", "time_zone": "Pacific/Auckland"}, date(2026, 1, 1), "2026-01-01T14:00"),
    ],
)
def test_given_a_day_then_its_export_is_due_at_the_local_time_after_it(schedule, day, due) -> None:
    parsed = Schedule.model_validate(schedule)
    assert parsed.due_at(day) == at(due)
    assert parsed.latest_day(at(due)) == day
    assert parsed.latest_day(at(due) - timedelta(seconds=1)) == day - timedelta(days=1)


def test_given_a_schedule_that_never_ran_then_only_the_latest_day() -> None:
    assert BERLIN.due_days(None, at("2026-05-02T12:00")) == (date(2026, 5, 1),)


def test_given_days_of_downtime_when_asked_then_oldest_first_and_bounded() -> None:
    now = at("2026-05-20T12:00")
    days = BERLIN.due_days(date(2026, 5, 1), now)
    assert days == tuple(date(2026, 5, 2) + timedelta(days=n) for n in range(CATCH_UP_DAYS))
    assert BERLIN.due_days(days[-1], now)[-1] == date(2026, 5, 15)
    assert BERLIN.due_days(date(2026, 5, 19), now) == ()


@given(
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    clock=st.times(),
    steps=st.lists(st.integers(1, 60 * 60 * 24 * 3), max_size=30),
)
def test_given_looks_at_any_moments_and_clock_changes_then_each_day_once(
    zone: str, clock, steps: list[int]
) -> None:
    schedule = Schedule(at=clock.replace(microsecond=0), time_zone=zone)
    now = at("2026-03-20T00:00")
    taken = list(schedule.due_days(None, now))
    for seconds in steps:
        now += timedelta(seconds=seconds)
        taken += schedule.due_days(taken[-1], now)
    assert taken == [taken[0] + timedelta(days=n) for n in range(len(taken))]
    assert all(schedule.due_at(day) <= now for day in taken)


@pytest.mark.parametrize(
    "wrong",
    [
        {"time_zone": "Mars/Base"},
        {"time_zone": "../etc"},
        {"at": "25:00"},
        {"at": "03:00+01:00"},
        {"late_days": 0},
    ],
)
def test_given_a_wrong_schedule_when_read_then_refused(wrong) -> None:
    with pytest.raises(ValidationError):
        Schedule.model_validate(wrong)
