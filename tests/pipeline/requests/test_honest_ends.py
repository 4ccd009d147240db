"""Days that have not come, schedules that can be seen, days without data, digests: over a real account."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from mobexport.blob_paths import CURATED_CONTAINER
from mobexport.config import ExportsConfig
from mobexport.errors import Rejected, RequestError, Transient
from mobexport.pipeline.registry.export_row import begin
from mobexport.pipeline.registry.states import State
from mobexport.pipeline.requests.batch_parsing import parse_batch
from mobexport.pipeline.requests.request_parsing import parse_request
from mobexport.pipeline.requests.scheduling import Scheduler
from mobexport.pipeline.requests.views import show_batch, show_export
from mobexport.settings import read_settings
from mobexport.storage import EXPORTS_TABLE

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = date(2026, 11, 23)
SETTINGS = read_settings(
    {"DATA_STORAGE": "UseDevelopmentStorage=true", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
)
CONFIG = ExportsConfig.model_validate({"apps": {"a": {}}})
EVENT = {"app": "a", "exportType": "Event", "startDate": "2026-11-23"}
PUSH = {
    "app": "a",
    "exportType": "Push",
    "campaignType": "Poll",
    "campaignWindowStart": "2026-11-23T00:00:00Z",
}


# --- days -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**EVENT, "endDate": "2026-11-25"}, "endDate"),
        ({**PUSH, "campaignWindowEnd": "2026-11-25T00:00:00Z"}, "campaignWindowEnd"),
    ],
)
def test_a_day_that_has_not_come_is_refused(body: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError, match=r"has not come yet: today is 2026-11-24 \(UTC\)") as error:
        parse_request(body, CONFIG, SETTINGS, NOW)
    assert [name for name, _ in error.value.problems] == [field]


def test_a_batch_with_a_day_that_has_not_come_is_refused() -> None:
    body = {"app": "a", "exportTypes": ["Event"], "startDate": "2026-11-23", "endDate": "2026-11-25"}
    with pytest.raises(RequestError, match="endDate: has not come yet"):
        parse_batch(body, CONFIG, SETTINGS, NOW)


def test_today_is_the_day_in_utc_and_has_a_note() -> None:
    late = NOW.replace(hour=23, minute=59)
    for body, noted in (
        ({**EVENT, "endDate": "2026-11-24"}, True),
        ({**EVENT, "endDate": "2026-11-23"}, False),
    ):
        request = parse_request(body, CONFIG, SETTINGS, late).request
        notes = show_export(begin(request, 1, "2026-11-24T23:59:00.000Z"), "")["notes"]
        assert [("2026-11-24 (UTC) was not over" in note) for note in notes] == [True] * noted
    parse_request({**PUSH, "campaignWindowEnd": "2026-11-24T23:59:59Z"}, CONFIG, SETTINGS, NOW)
    body = {"app": "a", "exportTypes": ["Event"], "startDate": "2026-11-22", "endDate": "2026-11-24"}
    assert len(show_batch(parse_batch(body, CONFIG, SETTINGS, NOW), "")["notes"]) == 1


# --- schedules ------------------------------------------------------------------------------------------


class Target:
    """Takes notifications, or fails as it is told."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.faults: list[Exception] = []

    def post(self, _name: str, event: Any) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.events.append(event)


@pytest.fixture
def target() -> Target:
    return Target()


@pytest.fixture
def daily(app, storage, registry, batches, target):
    """Makes the scheduler of one app."""

    def make(**schedule: Any) -> Scheduler:
        own = {"schedule": {"types": ["Event"], **schedule}, "notify": ["q"]}
        targets = {"q": {"kind": "storage-queue"}}
        config = ExportsConfig.model_validate({"apps": {app: own}, "targets": targets})
        return Scheduler(config, SETTINGS, storage, batches, registry, target.post)

    return make


def end(registry, batches, storage, batch, *days: date, state: State | None = None) -> None:
    """Ends the batch's only export with rows of those days."""
    batches.advance(batch.id)
    row = registry.get(batch.items[0].request.id)
    outputs = [{"date": day.isoformat()} for day in days]
    storage.write_json(CURATED_CONTAINER, row.manifest_path, {"outputs": outputs})
    counts = {"records": len(days), "rows": len(days), "rejected": 0}
    ended = state or (State.SUCCEEDED if days else State.EMPTY)
    registry.amend(
        row.id, lambda now: replace(now, state=ended, manifest=row.manifest_path, counts=counts, error=None)
    )
    assert batches.advance(batch.id)[0].ended_at


def test_a_schedule_shows_its_last_and_next_run(daily) -> None:
    one = daily(at="03:00", time_zone="Europe/Berlin")
    (before,) = one.shown(NOW)
    # It has never run, and the newest day is due: the next tick takes it.
    assert (before["lastDay"], before["dueDays"]) == (None, ["2026-11-23"])
    assert before["nextRunAt"] == "2026-11-24T02:00:00.000Z"
    list(one.due(NOW))
    (after,) = one.shown(NOW)
    assert (after["lastDay"], after["dueDays"], after["nextRunAt"]) == (
        "2026-11-23", [], "2026-11-25T02:00:00.000Z",
    )  # fmt: skip
    assert after["lastRunAt"] == "2026-11-24T12:00:00.000Z"
    assert after["watched"][0].startswith("daily-2026-11-23-")


def test_a_row_that_cannot_be_read_is_told_in_its_place(daily, storage, app) -> None:
    storage.table(EXPORTS_TABLE).upsert_entity({"PartitionKey": "schedules", "RowKey": app, "through": "x"})
    (shown,) = daily().shown(NOW)
    assert (shown["app"], shown["nextRunAt"]) == (app, None)
    assert "exports" in shown["error"]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "UTC", "Etc/GMT+12"])
def test_no_schedule_asks_for_a_day_that_has_not_come(daily, zone: str) -> None:
    for hour in range(0, 24, 5):
        now = NOW.replace(hour=hour)
        for batch in daily(at="00:00", time_zone=zone).due(now):
            assert max(item.request.window[1] for item in batch.items) <= now.date()


def test_a_day_without_a_row_is_told_once_and_logged(
    daily, registry, batches, storage, target, app, caplog
) -> None:
    one = daily(late_days=2)
    (batch,) = one.due(NOW)
    end(registry, batches, storage, batch, DAY - timedelta(days=1))
    assert list(one.due(NOW + timedelta(minutes=5))) == []
    assert list(one.due(NOW + timedelta(minutes=10))) == []
    (event,) = target.events
    assert (event["type"], event["id"]) == ("mobexport.schedule.no-data", f"{batch.id}/no-data")
    assert (event["data"]["app"], event["data"]["day"]) == (app, "2026-11-23")
    assert [line for line in caplog.messages if line.startswith("no data: ") and app in line]


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.CANCELLED])
def test_a_day_with_rows_or_a_failure_is_not_without_data(
    daily, registry, batches, storage, target, state: State
) -> None:
    one = daily()
    (batch,) = one.due(NOW)
    end(registry, batches, storage, batch, *([DAY] if state is State.SUCCEEDED else []), state=state)
    for hours in (1, 2, 4, 9):
        list(one.due(NOW + timedelta(hours=hours)))
    assert target.events == []


def test_a_digest_takes_the_place_of_a_notification_per_export(
    daily, registry, batches, storage, target
) -> None:
    one = daily(digest=True)
    (batch,) = one.due(NOW)
    assert batch.items[0].request.notify == ()
    end(registry, batches, storage, batch, DAY)
    list(one.due(NOW + timedelta(minutes=5)))
    (event,) = target.events
    assert event["type"] == "mobexport.schedule.digest"
    (told,) = event["data"]["exports"]
    assert (told["state"], told["rows"], told["rawRejected"]) == ("Succeeded", 1, None)


def test_a_target_that_is_down_gets_the_event_later(daily, registry, batches, storage, target) -> None:
    one = daily(digest=True)
    (batch,) = one.due(NOW)
    end(registry, batches, storage, batch, DAY)
    target.faults = [Transient("down"), Transient("down")]
    for minutes in (5, 10, 15, 20):
        list(one.due(NOW + timedelta(minutes=minutes)))
    assert [event["id"] for event in target.events] == [f"{batch.id}/digest"]


def test_a_target_that_refuses_is_not_asked_again(daily, registry, batches, storage, target, caplog) -> None:
    one = daily(digest=True)
    (batch,) = one.due(NOW)
    end(registry, batches, storage, batch, DAY)
    target.faults = [Rejected("no")]
    for minutes in (5, 10):
        list(one.due(NOW + timedelta(minutes=minutes)))
    assert target.events == []
    assert any("given up" in line for line in caplog.messages)
