"""Timers: starts, missed times, the stored status."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from azure.functions.meta import Datum

from devhost.triggers.ncrontab import parse_schedule
from devhost.triggers.timer import TimerTrigger, plan_start

HOURLY = parse_schedule("0 0 * * * *", ZoneInfo("UTC"))
NOW = datetime(2026, 11, 24, 2, 30, tzinfo=UTC)


class _Store:
    def __init__(self) -> None:
        self.saved: dict[str, dict[str, Any]] = {}

    def timer_status(self, function: str) -> dict[str, Any] | None:
        return self.saved.get(function)

    def save_timer_status(self, function: str, status: dict[str, Any]) -> None:
        self.saved[function] = status


def _timer(store: _Store, runs: list[dict[str, Any]], now: datetime, **options: Any) -> TimerTrigger:
    def run(value: Datum, reason: str) -> None:
        runs.append(json.loads(value.value))
        if options.get("fails"):
            raise RuntimeError

    startup = bool(options.get("run_on_startup"))
    return TimerTrigger("f", HOURLY, store, run, run_on_startup=startup, clock=lambda: now)


def test_given_no_status_when_the_host_starts_then_nothing_runs_and_the_next_time_is_stored() -> None:
    store, runs = _Store(), list[dict[str, Any]]()
    assert _timer(store, runs, NOW).begin() == datetime(2026, 11, 24, 3, tzinfo=UTC)
    assert runs == []
    assert store.saved["f"] == {
        "Last": "0001-01-01T00:00:00+00:00",
        "Next": "2026-11-24T03:00:00+00:00",
        "LastUpdated": "0001-01-01T00:00:00+00:00",
    }


def test_given_run_on_startup_when_the_host_starts_then_it_runs_once_not_past_due() -> None:
    store, runs = _Store(), list[dict[str, Any]]()
    _timer(store, runs, NOW, run_on_startup=True).begin()
    assert [r["IsPastDue"] for r in runs] == [False]
    assert runs[0]["ScheduleStatus"]["Next"] == "2026-11-24T03:00:00+00:00"


def test_given_missed_times_when_the_host_starts_again_then_one_run_is_past_due() -> None:
    store, runs = _Store(), list[dict[str, Any]]()
    _timer(store, runs, NOW).begin()
    later = NOW + timedelta(hours=5)
    following = _timer(store, runs, later).begin()
    assert [r["IsPastDue"] for r in runs] == [True]
    assert following == datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert store.saved["f"]["Last"] == later.isoformat()


def test_given_a_changed_schedule_when_the_host_starts_then_nothing_is_past_due() -> None:
    status = {
        "Last": "2026-11-24T00:10:00+00:00",
        "Next": "2026-11-24T00:20:00+00:00",
        "LastUpdated": "2026-11-24T00:10:00+00:00",
    }
    plan = plan_start(HOURLY, status, NOW)
    assert (plan.next, plan.past_due) == (datetime(2026, 11, 24, 3, tzinfo=UTC), False)


def test_given_a_run_that_fails_when_it_fired_early_then_the_schedule_goes_on_from_the_due_time() -> None:
    store, runs = _Store(), list[dict[str, Any]]()
    due = datetime(2026, 11, 24, 3, tzinfo=UTC)
    following = _timer(store, runs, due - timedelta(milliseconds=4), fails=True).fire(due)
    assert following == due + timedelta(hours=1)
    assert store.saved["f"]["Last"] == due.isoformat()
