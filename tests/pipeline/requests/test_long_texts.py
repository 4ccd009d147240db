"""Texts of 40,000 characters from outside: they are refused, or cut before they reach a table's row."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mobexport.clock import stamp
from mobexport.config import MAX_TARGETS, ExportsConfig
from mobexport.errors import RequestError, WorkerLost
from mobexport.heavy import MAX_DEATHS, HeavySteps
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.requests.batch_parsing import parse_batch
from mobexport.pipeline.requests.batches import MAX_EXPORTS, Batches
from mobexport.pipeline.requests.request_parsing import parse_request
from mobexport.pipeline.requests.scheduling import Scheduler
from mobexport.settings import read_settings
from mobexport.storage import EXPORTS_TABLE
from mobexport.wire import MAX_TEXT, Failure

LONG = "\U0001f600" * 40_000
SETTINGS = read_settings(
    {"DATA_STORAGE": "UseDevelopmentStorage=true", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
)
TARGETS = {f"{n:02}-{'t' * 61}": {"kind": "storage-queue"} for n in range(MAX_TARGETS + 1)}
APP = "a" * 64
CONFIG = ExportsConfig.model_validate({"apps": {APP: {}}, "targets": TARGETS})
BODY = {"app": APP, "exportTypes": ["Event"], "startDate": "2026-01-01", "endDate": "2026-01-02"}


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "change",
    [
        {"app": LONG},
        {"exportTypes": [LONG]},
        {"startDate": LONG},
        {"notify": [LONG]},
        {"notify": list(TARGETS)},
        {"parallel": LONG},
        {"rerun": LONG},
    ],
    ids=lambda change: next(iter(change)),
)
def test_given_long_texts_in_a_batch_then_refused_in_few_words(now, change: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as error:
        parse_batch({**BODY, **change}, CONFIG, SETTINGS, now)
    assert [name for name, _ in error.value.problems] == list(change)
    assert len(error.value.message) < 3_000


def test_given_more_targets_than_a_row_holds_then_refused(now) -> None:
    asked = {**BODY, "exportType": "Event", "notify": list(TARGETS)}
    del asked["exportTypes"]
    with pytest.raises(RequestError, match=f"notify: must be at most {MAX_TARGETS} target names"):
        parse_request(asked, CONFIG, SETTINGS, now)
    with pytest.raises(ValueError, match=f"at most {MAX_TARGETS} items"):
        ExportsConfig.model_validate({"apps": {APP: {"notify": list(TARGETS)}}, "targets": TARGETS})


def test_given_the_largest_batch_then_its_row_holds_it(storage, now) -> None:
    body = {**BODY, "endDate": "2026-07-19", "notify": list(TARGETS)[:MAX_TARGETS], "exportTypes": ["Event"]}
    batch = parse_batch(body, CONFIG, SETTINGS, now)
    assert len(batch.items) == MAX_EXPORTS
    batches = Batches(storage, Registry(storage))
    batches.add(batch)
    assert batches.get(batch.id) == batch


def test_given_waiting_events_then_the_schedules_row_holds_them(storage, registry, caplog) -> None:
    posted: list[str] = []
    scheduler = Scheduler(
        CONFIG,
        SETTINGS,
        storage,
        Batches(storage, registry),
        registry,
        lambda target, _: posted.append(target),
    )
    # As long as an Export API's texts may be, for all types and kinds of campaign.
    exports = [{"exportId": "e" * 150, "state": "Empty", "empty": "\U0001f600" * 300}] * 14
    outbox = [
        {"targets": list(TARGETS)[:MAX_TARGETS], "event": {"id": f"e{n}", "data": exports}, "tries": 0}
        for n in range(4)
    ]
    scheduler._keep("long-texts", "2026-11-24", {}, outbox, stamp())
    row = storage.table(EXPORTS_TABLE).get_entity("schedules", "long-texts")
    kept = [one["event"]["id"] for one in json.loads(row["outbox"])]
    assert kept == [f"e{n}" for n in range(4)][-len(kept) :]
    assert 1 <= len(kept) < 4
    assert "given up, there is no more room: e0" in caplog.text
    storage.table(EXPORTS_TABLE).delete_entity(row)


def test_given_a_step_on_long_names_then_its_error_is_cut(storage) -> None:
    steps = HeavySteps(storage)
    for _ in range(MAX_DEATHS):
        steps._begin("long-names", LONG, "CONVERT_PART_MB")
    with pytest.raises(WorkerLost) as error:
        steps._begin("long-names", LONG, "CONVERT_PART_MB")
    assert len(Failure.of(error.value).message) <= MAX_TEXT
    storage.table("steps").delete_entity(*_mark(storage))


def _mark(storage) -> tuple[str, str]:
    (row,) = storage.table("steps").query_entities("RowKey eq 'long-names'")
    return row["PartitionKey"], row["RowKey"]
