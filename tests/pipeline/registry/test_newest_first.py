"""The list of exports: newest first, page by page, whatever wrote or deleted the rows."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from azure.core.exceptions import HttpResponseError

from mobexport import clock
from mobexport.errors import Transient
from mobexport.pipeline.registry import newest_first
from mobexport.pipeline.registry import registry as registry_module
from mobexport.pipeline.registry.export_row import to_entity
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.registry.states import State
from mobexport.pipeline.requests.export_list import encode_token, parse_list_query
from mobexport.storage import EXPORTS_TABLE, known_error

BEGAN = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def add(registry, make_request, monkeypatch):
    """Asks for an export `minutes` after noon, of a day that sorts the other way round than the time."""

    def add(minutes: float, **changes):
        day = date(2025, 3, 1) + timedelta(days=round(minutes * 7) % 25)
        at = clock.stamp(BEGAN + timedelta(minutes=minutes))
        with monkeypatch.context() as patch:
            patch.setattr(registry_module, "stamp", lambda: at)
            return registry.request(make_request(window=(day, day), **changes), rerun=False)[0]

    return add


def listed(registry: Registry, app: str, **options: str) -> list[str]:
    """Ids of all pages."""
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = registry.page(parse_list_query({"app": app, **options, **token}))
        found += [row.id for row in page.rows]
        if page.token is None:
            return found
        token = {"continuation": page.token}


def test_given_exports_when_listed_then_newest_first_over_all_pages(registry, add) -> None:
    ids = [add(minutes).id for minutes in (0, 1, 2, 2.5, 60, 61)]
    app = registry.get(ids[0]).request.app
    assert sorted(ids) != ids
    assert listed(registry, app) == ids[::-1]
    assert listed(registry, app, limit="2") == ids[::-1]


def test_given_filters_when_listed_then_they_hold_over_the_copies(registry, add) -> None:
    rows = [add(0), add(1, export_type="Crash"), add(2), add(3)]
    ids = [row.id for row in rows]
    app = rows[0].request.app
    registry.change(rows[2].ref, lambda now: replace(now, state=State.FAILED))
    assert listed(registry, app, state="failed,cancelled") == [ids[2]]
    assert listed(registry, app, exportType="Event") == [ids[3], ids[2], ids[0]]
    # The first is included, the end is not, to the millisecond.
    since, until = (clock.stamp(BEGAN + timedelta(minutes=minutes)) for minutes in (1, 3))
    assert listed(registry, app, createdFrom=since) == ids[:0:-1]
    assert listed(registry, app, createdFrom=since, createdTo=until) == [ids[2], ids[1]]
    assert listed(registry, app, createdTo=since) == [ids[0]]


def test_given_a_next_attempt_then_the_export_keeps_its_place_once(registry, add, make_request) -> None:
    first, second = add(0), add(1)
    registry.change(first.ref, lambda now: replace(now, state=State.FAILED))
    again, began = registry.request(first.request, rerun=False)
    assert (again.attempt, began) == (2, True)
    page = registry.page(parse_list_query({"app": first.request.app}))
    assert [(row.id, row.attempt) for row in page.rows] == [(second.id, 1), (first.id, 2)]


def test_given_rows_of_an_earlier_version_then_one_tick_brings_them_in(registry, storage, add) -> None:
    rows = [add(0), add(1)]
    table = storage.table(EXPORTS_TABLE)
    for row in rows:
        table.delete_entity("exports", newest_first.newest_key(row.created_at, row.id))
    app = rows[0].request.app
    table.delete_entity("exports", "~~mended")
    assert listed(registry, app) == []
    registry.mend_list_once()
    assert listed(registry, app) == [rows[1].id, rows[0].id]
    # Asked once, of the next process too.
    table.delete_entity("exports", newest_first.newest_key(rows[0].created_at, rows[0].id))
    Registry(storage).mend_list_once()
    assert listed(registry, app) == [rows[1].id]
    assert registry.mend_list() >= 1
    assert listed(registry, app) == [rows[1].id, rows[0].id]


def test_given_more_rows_than_one_tick_mends_then_the_next_goes_on(registry, storage, add) -> None:
    rows = [add(minutes) for minutes in range(3)]
    table = storage.table(EXPORTS_TABLE)
    newest_first.mend(table, 10_000)
    for row in rows:
        table.delete_entity("exports", newest_first.newest_key(row.created_at, row.id))
    assert newest_first.mend(table, 2) == 2
    assert len(listed(registry, rows[0].request.app)) == 2
    assert newest_first.mend(table, 2) == 1
    assert len(listed(registry, rows[0].request.app)) == 3


def test_given_an_instance_of_the_earlier_version_then_the_night_mends(registry, storage, add) -> None:
    row, gone = add(0), add(1)
    table = storage.table(EXPORTS_TABLE)
    # What it writes has no copy, and what it purges leaves one.
    entity = dict(table.get_entity("exports", row.id))
    table.upsert_entity({**entity, "state": "Cancelled", "updated_at": "2026-11-24T13:00:00.000Z"})
    table.delete_entity("exports", gone.id)
    app = row.request.app
    assert listed(registry, app) == [gone.id, row.id]
    registry.mend_list()
    (shown,) = registry.page(parse_list_query({"app": app})).rows
    assert (shown.id, shown.state) == (row.id, State.CANCELLED)


def test_given_a_write_while_it_is_mended_then_the_newer_one_stays(
    registry, storage, add, monkeypatch
) -> None:
    row = add(0)
    table = storage.table(EXPORTS_TABLE)
    table.delete_entity("exports", newest_first.newest_key(row.created_at, row.id))
    replace_row = newest_first.replace

    def slow(table, entity, etag):
        monkeypatch.undo()
        registry.request_cancel(row.id)
        return replace_row(table, entity, etag)

    monkeypatch.setattr(newest_first, "replace", slow)
    newest_first._mend(table, row.id)
    (shown,) = registry.page(parse_list_query({"app": row.request.app})).rows
    assert (shown.cancel_requested, registry.get(row.id).cancel_requested) == (True, True)


def test_given_a_row_when_deleted_then_only_that_version_and_its_copy(registry, storage, add) -> None:
    row, other = add(0), add(1)
    table = storage.table(EXPORTS_TABLE)
    entity = table.get_entity("exports", row.id)
    registry.request_cancel(row.id)
    assert not registry.delete(entity, entity.metadata["etag"])
    assert len(listed(registry, row.request.app)) == 2
    entity = table.get_entity("exports", row.id)
    assert registry.delete(entity, entity.metadata["etag"])
    assert not registry.delete(entity, entity.metadata["etag"])
    assert listed(registry, row.request.app) == [other.id]
    # Also a row of an earlier version, that never came into the list.
    entity = table.get_entity("exports", other.id)
    table.delete_entity("exports", newest_first.newest_key(other.created_at, other.id))
    assert registry.delete(entity, entity.metadata["etag"])
    assert registry.find(other.id) is None


@pytest.mark.parametrize(
    "token", [{"PartitionKey": "schedules", "RowKey": "x"}, {"PartitionKey": "exports", "RowKey": "a"}]
)
def test_given_a_forged_continuation_then_no_other_rows_are_shown(registry, add, token) -> None:
    row = add(0)
    query = parse_list_query({"app": row.request.app, "continuation": encode_token(token)})
    assert {found.id for found in registry.page(query).rows} <= {row.id}


def test_given_a_deleted_table_then_a_write_says_try_again(registry, storage, add) -> None:
    row = add(0)
    missing = storage._tables.get_table_client("nosuchtable")
    with pytest.raises(HttpResponseError) as caught:
        newest_first.replace(missing, to_entity(row), row.etag)
    assert isinstance(known_error(caught.value), Transient)
