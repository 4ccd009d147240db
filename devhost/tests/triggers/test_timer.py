"""Timers: starts, missed times, the stored status; recordings of the real host are the judge."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from azure.functions.timer import TimerRequestConverter

from devhost.invoker import CALLED, Call
from devhost.triggers.ncrontab import parse_schedule
from devhost.triggers.timer import Status, TimerTrigger, plan_start, read_status

UTC_ZONE = ZoneInfo("UTC")
HOURLY = parse_schedule("0 0 * * * *", UTC_ZONE)
EVERY_MINUTE = parse_schedule("0 * * * * *", UTC_ZONE)
NOW = datetime(2026, 11, 24, 2, 30, tzinfo=UTC)
NOT_YET = "0001-01-01T00:00:00+00:00"


class _World:
    """A clock that is set by hand, a store, and what the function was given."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now
        self.saved: dict[str, dict[str, Any]] = {}
        self.calls: list[Call] = []
        self.takes = timedelta(0)
        self.fails = 0

    def timer_status(self, function: str) -> dict[str, Any] | None:
        return self.saved.get(function)

    def save_timer_status(self, function: str, status: dict[str, Any]) -> None:
        self.saved[function] = status

    def run(self, call: Call) -> None:
        self.calls.append(call)
        self.now += self.takes
        if self.fails:
            self.fails -= 1
            raise RuntimeError("told")

    def timer(self, schedule: Any = HOURLY, **options: Any) -> TimerTrigger:
        options.setdefault("zone", UTC_ZONE)
        return TimerTrigger("f", schedule, self, self.run, clock=lambda: self.now, **options)

    def given(self) -> list[dict[str, Any]]:
        return [json.loads(call.value.value) for call in self.calls]


def test_given_no_status_then_nothing_runs_and_the_next_time_is_stored() -> None:
    world = _World()
    timer = world.timer()
    timer.begin()
    assert timer.next == datetime(2026, 11, 24, 3, tzinfo=UTC)
    assert world.calls == []
    assert world.saved["f"] == {
        "Last": NOT_YET,
        "Next": "2026-11-24T03:00:00+00:00",
        "LastUpdated": "2026-11-24T02:30:00+00:00",
    }


def test_given_the_recorded_starts_then_each_run_has_the_recorded_status() -> None:
    # A start that runs at once, two ticks, a kill, and a start after missed ticks (in microseconds).
    world = _World(datetime(2026, 11, 23, 21, 1, 54, 320683, UTC))
    timer = world.timer(EVERY_MINUTE, run_on_startup=True)
    timer.begin()
    world.now = datetime(2026, 11, 23, 21, 1, 59, 999100, UTC)  # a little early: counts as the minute
    timer.fire()
    world.now = datetime(2026, 11, 23, 21, 3, 0, 3765, UTC)
    timer.fire()
    world.now = datetime(2026, 11, 23, 21, 5, 6, 382460, UTC)
    after = world.timer(EVERY_MINUTE, run_on_startup=True)
    after.begin()
    world.now = datetime(2026, 11, 23, 21, 6, 0, 2482, UTC)
    after.fire()

    def told(past_due: bool, last: str, following: str) -> tuple[bool, dict[str, str]]:
        last = last if last == NOT_YET else f"2026-11-23T21:{last}+00:00"
        return past_due, {"Last": last, "Next": f"2026-11-23T21:{following}+00:00", "LastUpdated": last}

    assert [(run["IsPastDue"], run["ScheduleStatus"]) for run in world.given()] == [
        told(False, NOT_YET, "02:00"),
        told(False, "01:54.320683", "02:00"),
        told(False, "02:00", "03:00"),
        told(True, "03:00.003765", "04:00"),
        told(False, "05:06.38246", "06:00"),
    ]
    assert [run["Schedule"] for run in world.given()] == [{"AdjustForDST": True}] * 5


def test_given_a_status_of_the_real_host_then_its_seven_digits_are_read() -> None:
    status = read_status(
        {
            "Last": "2026-11-23T21:01:54.3206838+00:00",
            "Next": "2026-11-23T21:02:00+00:00",
            "LastUpdated": NOT_YET,
        }
    )
    assert status.last == datetime(2026, 11, 23, 21, 1, 54, 320683, UTC)
    assert status.updated is None


def test_given_run_on_startup_then_it_runs_once_and_is_not_past_due() -> None:
    world = _World()
    world.timer(run_on_startup=True).begin()
    assert [run["IsPastDue"] for run in world.given()] == [False]
    assert world.calls[0].details == {"UnscheduledInvocationReason": "RunOnStartup"}
    assert world.calls[0].reason == "Timer fired at 2026-11-24T02:30:00.0000000+00:00"
    assert world.calls[0].metadata["TimerTrigger"].value == "11/24/2026 02:30:00"


def test_given_missed_times_when_host_restarts_then_one_run_is_past_due() -> None:
    world = _World()
    world.timer().begin()
    world.now += timedelta(hours=5)
    later = world.timer(run_on_startup=True)
    later.begin()
    assert [run["IsPastDue"] for run in world.given()] == [True]
    assert world.calls[0].details["OriginalSchedule"] == "2026-11-24T03:00:00.0000000+00:00"
    assert later.next == datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert world.saved["f"]["Last"] == world.now.isoformat()


@pytest.mark.parametrize(
    ("status", "expected", "past_due"),
    [
        # the schedule was another one: the next time from the last run, or from now if that has passed
        (("00:10", "00:20", "00:10"), "03:00", False),
        (("02:10", "02:20", "02:10"), "03:00", False),
        # never run: what counts is when the status was written
        ((None, "02:00", "01:10"), "02:00", True),
        ((None, "05:00", "01:10"), "03:00", False),
        (("01:00", "02:00", "01:00"), "02:00", True),
        (("02:00", "03:00", "02:00"), "03:00", False),
    ],
)
def test_given_a_stored_status_then_it_is_compared_with_the_schedule(
    status: tuple[str | None, str, str], expected: str, past_due: bool
) -> None:
    def at(text: str | None) -> datetime | None:
        return text and datetime.fromisoformat(f"2026-11-24T{text}:00+00:00")  # type: ignore[return-value]

    stored = Status(at(status[0]), at(status[1]), at(status[2]))
    start = plan_start(HOURLY, stored, NOW)
    assert (start.status.next, start.past_due) == (at(expected), past_due)
    changed = at(status[1]) != at(expected)
    assert (start.stored is not None) is changed
    if changed:
        assert start.status.last is None


def test_given_a_run_longer_than_the_interval_then_one_run_catches_up() -> None:
    world = _World(datetime(2026, 11, 24, 3, tzinfo=UTC))
    timer = world.timer()
    timer.begin()
    world.now = datetime(2026, 11, 24, 4, tzinfo=UTC)
    world.takes = timedelta(hours=3, minutes=30)
    timer.fire()
    assert timer.next == datetime(2026, 11, 24, 5, tzinfo=UTC)  # past already: at once, then on from there
    world.takes = timedelta(0)
    timer.fire()
    assert timer.next == datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert [run["IsPastDue"] for run in world.given()] == [False, False]


def test_given_an_early_run_that_fails_then_next_follows_the_due_time() -> None:
    world = _World()
    timer = world.timer()
    timer.begin()
    due = datetime(2026, 11, 24, 3, tzinfo=UTC)
    world.now, world.fails = due - timedelta(milliseconds=4), 1
    timer.fire()
    assert timer.next == due + timedelta(hours=1)
    assert world.saved["f"]["Last"] == due.isoformat()


def test_given_a_sub_minute_schedule_then_no_status_is_given_or_stored() -> None:
    world = _World()
    timer = world.timer(parse_schedule("00:00:05"), run_on_startup=True)
    timer.begin()
    assert world.saved == {}
    request = TimerRequestConverter.decode(world.calls[0].value, trigger_metadata={})
    assert not request.schedule_status
    assert timer.next == NOW + timedelta(seconds=5)


def test_given_no_monitor_when_times_were_missed_then_nothing_is_past_due() -> None:
    world = _World()
    world.timer(monitor=False).begin()
    world.now += timedelta(hours=5)
    world.timer(monitor=False).begin()
    assert (world.calls, world.saved) == ([], {})


def test_given_a_run_by_hand_when_it_ends_then_the_status_is_as_it_was() -> None:
    world = _World()
    timer = world.timer()
    timer.begin()
    before = dict(world.saved)
    world.now += timedelta(minutes=3)
    timer.run_by_hand("whatever")
    assert world.saved == before
    assert timer.next == datetime(2026, 11, 24, 3, tzinfo=UTC)
    assert world.calls[0].reason == CALLED
    # as recorded: the stored status, whose LastUpdated is when it was written
    assert world.given()[0] == {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": before["f"],
        "IsPastDue": False,
    }


def test_given_a_schedule_that_never_comes_then_the_host_waits_forever() -> None:
    world = _World()
    timer = world.timer(parse_schedule("0 0 0 31 2 *", UTC_ZONE))
    timer.begin()
    assert timer.next is None
    assert world.saved["f"]["Next"] == "9999-12-31T23:59:59.9999999+00:00"
    again = world.timer(parse_schedule("0 0 0 31 2 *", UTC_ZONE))
    again.begin()
    assert world.calls == []


def test_given_a_time_zone_when_times_are_told_then_they_carry_its_offset() -> None:
    world = _World()
    paris = ZoneInfo("Europe/Paris")
    world.timer(parse_schedule("0 0 4 * * *", paris), zone=paris, run_on_startup=True).begin()
    assert world.given()[0]["ScheduleStatus"]["Next"] == "2026-11-24T04:00:00+01:00"
    assert world.calls[0].reason == "Timer fired at 2026-11-24T03:30:00.0000000+01:00"


def test_given_a_short_interval_then_it_runs_repeatedly_until_stopped() -> None:
    runs = threading.Semaphore(0)
    world = _World()
    timer = TimerTrigger("f", parse_schedule("00:00:00.02"), world, lambda _call: runs.release())
    timer.start()
    assert all(runs.acquire(timeout=10) for _ in range(3))
    timer.stop()
    timer.join(10)
    while runs.acquire(blocking=False):
        pass
    assert not runs.acquire(timeout=0.1)
