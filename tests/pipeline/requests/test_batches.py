"""Batches and schedules over a real account: bounded, repeatable, each export with an outcome of its own."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from mobexport.config import ExportsConfig
from mobexport.errors import Conflict, NotFound, RequestError
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.registry.states import State
from mobexport.pipeline.requests.batch_parsing import parse_batch
from mobexport.pipeline.requests.batches import PARTITION, new_batch
from mobexport.pipeline.requests.scheduling import AGAIN, Scheduler
from mobexport.settings import read_settings
from mobexport.storage import EXPORTS_TABLE

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SETTINGS = read_settings(
    {"DATA_STORAGE": "UseDevelopmentStorage=true", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
)


def config(app: str, **options) -> ExportsConfig:
    return ExportsConfig.model_validate({"apps": {app: options}, "targets": {"q": {"kind": "storage-queue"}}})


def end(registry, row, state: State) -> None:
    registry.change(row.ref, lambda now: replace(now, state=State.FAILED))
    if state is not State.FAILED:
        registry.amend(row.id, lambda now: replace(now, state=state))


def make(make_request, count: int, *, parallel: int = 2, rerun: bool = False):
    days = [date(2025, 3, 1) + timedelta(days=n) for n in range(count)]
    requests = [make_request(window=(day, day)) for day in days]
    return new_batch("batch", requests, parallel=parallel, rerun=rerun)


def test_given_a_running_batch_then_few_at_once_and_every_outcome_kept(
    batches, registry, make_request
) -> None:
    batch, began = batches.add(make(make_request, 5))
    assert (began, batch.state, batch.counts) == (True, "Running", {"Waiting": 5})
    ends = iter([State.SUCCEEDED, State.FAILED, State.EMPTY, State.CANCELLED, State.SUCCEEDED])
    most = 0
    while batch.ended_at is None:
        batch, starting = batches.advance(batch.id)
        running = [item for item in batch.items if item.attempt is not None and item.state is None]
        most = max(most, len(running))
        assert {row.id for row in starting} <= {item.request.id for item in running}
        for row in starting:
            end(registry, row, next(ends))
    assert most == 2
    assert (batch.state, batch.counts) == (
        "PartiallySucceeded",
        {"Cancelled": 1, "Empty": 1, "Failed": 1, "Succeeded": 2},
    )
    assert batches.get(batch.id) == batch


def test_given_a_repeated_step_of_a_batch_then_nothing_begins_twice(batches, registry, make_request) -> None:
    batch, _ = batches.add(make(make_request, 2, rerun=True))
    row, _ = registry.request(batch.items[0].request, rerun=True)
    end(registry, row, State.SUCCEEDED)
    # The worker died after the export had begun, and it ended before the batch knew of it.
    batch, starting = batches.advance(batch.id)
    assert [(item.attempt, item.state) for item in batch.items] == [(row.attempt, State.SUCCEEDED), (1, None)]
    assert batches.advance(batch.id)[0] == batch
    assert [started.id for started in starting] == [batch.items[1].request.id]


def test_given_the_same_batch_again_then_kept_or_failed_ones_restart(batches, registry, make_request) -> None:
    batch, _ = batches.add(make(make_request, 2))
    assert batches.add(make(make_request, 2)) == (batch, False)
    _, rows = batches.advance(batch.id)
    for row, state in zip(rows, (State.SUCCEEDED, State.FAILED), strict=True):
        end(registry, row, state)
    batch, _ = batches.advance(batch.id)
    assert batch.state == "PartiallySucceeded"
    later = NOW + timedelta(hours=1)
    again = new_batch(
        "batch",
        [replace(item.request, requested_at=later) for item in batch.items],
        parallel=2,
        rerun=False,
    )
    assert again.id == batch.id
    assert batches.add(again)[1]
    batch, starting = batches.advance(batch.id)
    assert [(item.attempt, item.state) for item in batch.items] == [(1, State.SUCCEEDED), (2, None)]
    assert [row.attempt for row in starting] == [2]


def test_given_a_running_batch_when_rerun_then_conflict(batches, make_request) -> None:
    batch = make(make_request, 1, rerun=True)
    batches.add(batch)
    with pytest.raises(Conflict):
        batches.add(batch)


def test_given_two_hundred_exports_when_kept_then_the_row_holds_them(batches, make_request) -> None:
    batch = make(make_request, 200)
    assert batches.add(batch)[0] == batch


@pytest.mark.parametrize("written", ["yesterday", None, "2026-02-30T00:00:00Z", "2026-11-28T10:00:00"])
def test_given_a_batch_whose_time_is_garbage_then_all_are_found(
    batches, storage, make_request, written: str | None
) -> None:
    ids = [batches.add(make(make_request, count))[0].id for count in (1, 2)]
    row = storage.table(EXPORTS_TABLE).get_entity(PARTITION, ids[0])
    del row["updated_at"]
    storage.table(EXPORTS_TABLE).upsert_entity(
        row | ({"updated_at": written} if written else {}), mode="replace"
    )
    found = dict(batches.open_ids())
    assert found.keys() >= set(ids)
    assert found[ids[0]].year in (1, 2026)
    assert found[ids[0]].tzinfo is not None


def test_given_types_and_days_when_parsed_then_each_pair_is_an_export(app) -> None:
    body = {"app": app, "startDate": "2025-03-01", "endDate": "2025-03-05", "windowDays": 2}
    batch = parse_batch({**body, "exportTypes": ["Event", "Tag", "Push"]}, config(app), SETTINGS, NOW)
    subjects = [item.request.subject() for item in batch.items]
    assert [one["window"] for one in subjects if one["exportType"] == "Event"] == [
        ["2025-03-01", "2025-03-02"],
        ["2025-03-03", "2025-03-04"],
        ["2025-03-05", "2025-03-05"],
    ]
    assert [one["exportType"] for one in subjects].count("Tag") == 1
    pushes = [one for one in subjects if one["exportType"] == "Push"]
    assert len({one["campaignType"] for one in pushes}) == len(pushes) == 4
    assert pushes[0]["campaignWindowEnd"] == "2025-03-05T23:59:59.999Z"
    assert len({item.request.id for item in batch.items}) == len(batch.items)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"exportTypes": ["Fax"]}, "exportTypes"),
        ({"exportTypes": []}, "exportTypes"),
        ({"exportTypes": ["Event"]}, "startDate"),
        ({"exportTypes": ["Tag"], "windowDays": 0}, "windowDays"),
        ({"exportTypes": ["Tag"], "parallel": 33}, "parallel"),
        ({"exportTypes": ["Tag"], "containerUrl": "x"}, "containerUrl"),
        ({"startDate": "2024-01-01", "endDate": "2024-12-31"}, "windowDays"),
    ],
)
def test_given_a_wrong_batch_when_parsed_then_the_field_is_named(app, body, field: str) -> None:
    with pytest.raises(RequestError) as error:
        parse_batch({"app": app, **body}, config(app), SETTINGS, NOW)
    assert field in {name for name, _ in error.value.problems}


def scheduler(app: str, storage, batches, **schedule) -> Scheduler:
    return Scheduler(
        config(app, schedule=schedule, notify=["q"]), SETTINGS, storage, batches, Registry(storage), posted
    )


def posted(target: str, event: object) -> None:
    """Takes a notification that no test looks at."""


def test_given_a_schedule_then_late_days_per_type_and_snapshots_once(app, storage, batches) -> None:
    daily = scheduler(app, storage, batches, at="03:00", types=["Event", "Tag", "Push"])
    (batch,) = daily.due(NOW)
    subjects = [item.request.subject() for item in batch.items]
    assert subjects[0]["window"] == ["2026-11-21", "2026-11-23"]
    assert [one["exportType"] for one in subjects] == ["Event", "Tag", "Push", "Push", "Push", "Push"]
    assert {item.request.notify for item in batch.items} == {("q",)}
    assert list(daily.due(NOW + timedelta(hours=5))) == []


def test_given_a_schedule_run_by_hand_then_the_tick_finds_its_batch(app, storage, batches) -> None:
    daily = scheduler(app, storage, batches, at="03:00", types=["Event"])
    by_hand, began = batches.add(daily.batch_now(app, NOW))
    assert began
    (due,) = daily.due(NOW + timedelta(minutes=5))
    assert due.id == by_hand.id
    assert not batches.add(daily.batch_now(app, NOW))[1]
    with pytest.raises(NotFound, match="schedule"):
        daily.batch_now("other", NOW)


@pytest.mark.parametrize("garbage", [{"through": "then"}, {"through": "2026-11-23", "watched": "{["}, {}])
def test_given_a_garbage_schedule_row_then_the_other_apps_are_due(
    app, storage, batches, caplog, garbage: dict[str, str]
) -> None:
    apps = {key: {"schedule": {"types": ["Event"]}} for key in (f"{app}-bad", app)}
    row = {"PartitionKey": "schedules", "RowKey": f"{app}-bad", **garbage}
    storage.table(EXPORTS_TABLE).upsert_entity(row)
    both = ExportsConfig.model_validate({"apps": apps})
    due = Scheduler(both, SETTINGS, storage, batches, Registry(storage), posted).due(NOW)
    assert [{item.request.app for item in batch.items} for batch in due] == [{app}]
    assert f"app {app}-bad: its schedule did not run, the others go on" in caplog.text


def test_given_days_of_downtime_then_missed_days_and_fresh_snapshots(app, storage, batches) -> None:
    daily = scheduler(app, storage, batches, types=["Event", "Tag"], late_days=1)
    list(daily.due(NOW))
    missed = list(daily.due(NOW + timedelta(days=3)))
    found = [[item.request.subject()["window"] for item in batch.items] for batch in missed]
    assert found == [[["2026-11-24"] * 2], [["2026-11-25"] * 2], [["2026-11-26"] * 2, None]]


def test_given_a_crash_before_a_day_is_noted_then_the_same_batch_is_due(app, storage, batches) -> None:
    daily = scheduler(app, storage, batches, types=["Event"])
    crashed = next(iter(daily.due(NOW)))
    (again,) = daily.due(NOW + timedelta(minutes=5))
    assert again == crashed


def fail(registry, batches, batch, code: str) -> None:
    """Begins the batch's only export and ends it with that error; the batch ends with it."""
    batches.advance(batch.id)
    (row,) = (registry.get(item.request.id) for item in batches.get(batch.id).items)
    registry.change(row.ref, lambda now: replace(now, state=State.FAILED, error={"code": code}))
    assert batches.advance(batch.id)[0].ended_at


def test_given_a_passing_failure_then_the_schedule_asks_again_thrice(app, storage, registry, batches) -> None:
    daily = scheduler(app, storage, batches, types=["Event"])
    (batch,) = daily.due(NOW)
    at = NOW
    for number, wait in enumerate(AGAIN, 1):
        fail(registry, batches, batch, "Transient")
        assert list(daily.due(at)) == []
        assert list(daily.due(at + wait - timedelta(seconds=1))) == []
        at += wait
        (again,) = daily.due(at)
        assert (again.id, again.state) == (batch.id, "Running")
        assert list(daily.due(at)) == []
        batches.advance(batch.id)
        assert registry.get(again.items[0].request.id).attempt == number + 1
    fail(registry, batches, batch, "Transient")
    assert list(daily.due(at)) == []
    assert list(daily.due(at + timedelta(hours=5))) == []


def test_given_a_failure_for_good_then_the_schedule_does_not_repeat_it(
    app, storage, registry, batches
) -> None:
    daily = scheduler(app, storage, batches, types=["Event"])
    (batch,) = daily.due(NOW)
    fail(registry, batches, batch, "Configuration")
    for hours in (0, 1, 2):
        assert list(daily.due(NOW + timedelta(hours=hours))) == []
    assert batches.get(batch.id).state == "Failed"
