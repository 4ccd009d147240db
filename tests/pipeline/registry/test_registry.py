"""The registry: one row an export, changed by ETag, attempts one after the other."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest
from azure.core.exceptions import HttpResponseError

from durable_app.http import respond
from mobexport.blob_paths import CURATED_CONTAINER
from mobexport.errors import Conflict, NotFound, RequestError, UnreadableRow
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.registry.states import State
from mobexport.pipeline.requests.export_list import ListQuery, parse_list_query
from mobexport.pipeline.requests.views import show_export
from mobexport.storage import EXPORTS_TABLE


def test_given_fifty_identical_requests_when_registered_then_one_begins(registry, make_request) -> None:
    wanted = make_request()
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda _: registry.request(wanted, rerun=False), range(50)))
    assert sum(began for _, began in results) == 1
    assert {row.id for row, _ in results} == {wanted.id}


def test_given_a_failed_export_when_requested_again_then_the_next_attempt(registry, make_request) -> None:
    row, _ = registry.request(make_request(), rerun=False)
    registry.change(row.ref, lambda now: replace(now, state=State.FAILED, error={"code": "X"}))
    again, began = registry.request(make_request(), rerun=False)
    assert (again.attempt, again.state, again.error, began) == (2, State.REQUESTED, None, True)


def test_given_a_running_export_when_rerun_then_conflict(registry, make_request) -> None:
    registry.request(make_request(), rerun=False)
    with pytest.raises(Conflict, match="can begin when it has ended"):
        registry.request(make_request(), rerun=True)


def test_given_a_succeeded_export_when_requested_then_kept_unless_rerun(registry, make_request) -> None:
    row, _ = registry.request(make_request(), rerun=False)
    for state in (State.SUBMITTED, State.COLLECTING, State.PROCESSING, State.SUCCEEDED):
        registry.change(row.ref, lambda now, state=state: replace(now, state=state))
    same, began = registry.request(make_request(), rerun=False)
    assert (same.state, began) == (State.SUCCEEDED, False)
    assert registry.request(make_request(), rerun=True)[0].attempt == 2


def test_given_an_attempt_that_moves_then_each_moment_is_kept(registry, make_request) -> None:
    row, _ = registry.request(make_request(), rerun=False)
    for state in (State.SUBMITTED, State.RUNNING, State.RUNNING, State.COLLECTING, State.PROCESSING):
        registry.change(row.ref, lambda now, state=state: replace(now, state=state))
    registry.change(row.ref, lambda now: replace(now, committing=True))
    registry.change(row.ref, lambda now: replace(now, manifest="m"))
    registry.change(row.ref, lambda now: replace(now, state=State.SUCCEEDED))
    found = registry.get(row.id).moments
    assert list(found) == [
        *("Requested", "Submitted", "Running", "Collecting", "Processing"),
        *("Converted", "Committed", "Succeeded"),
    ]
    assert list(found.values()) == sorted(found.values())
    assert list(registry.request(make_request(), rerun=True)[0].moments) == ["Requested"]


def test_given_a_terminal_attempt_when_changed_then_it_stays(registry, make_request) -> None:
    row, _ = registry.request(make_request(), rerun=False)
    registry.change(row.ref, lambda now: replace(now, state=State.CANCELLED))
    late = registry.change(row.ref, lambda now: replace(now, state=State.SUBMITTED, job_id="late"))
    assert (late.state, late.job_id) == (State.CANCELLED, None)


def test_given_two_changes_at_once_when_applied_then_none_is_lost(registry, make_request) -> None:
    row, _ = registry.request(make_request(), rerun=False)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: registry.record_delivery(row.ref, f"t{n}", {"state": "Delivered"}), range(8)))
    assert len(registry.get(row.id).deliveries) == 8


def test_given_a_purged_row_then_attempts_go_on_after_the_last_manifest(
    registry, storage, make_request
) -> None:
    row, _ = registry.request(make_request(), rerun=False)
    for attempt in (2, 10):
        name = replace(row, attempt=attempt).manifest_path
        storage.write_json(CURATED_CONTAINER, name, {})
    storage.table(EXPORTS_TABLE).delete_entity("exports", row.id)
    again, began = registry.request(make_request(), rerun=False)
    assert (again.attempt, began) == (11, True)


def test_given_an_owed_notification_then_still_owed_in_the_next_attempt(registry, make_request) -> None:
    row, _ = registry.request(make_request(), rerun=False)
    pending = {"event": "failed", "state": "Pending"}
    registry.change(
        row.ref,
        lambda now: replace(
            now,
            state=State.FAILED,
            deliveries={"1/a": pending, "1/b": {**pending, "state": "Delivered"}},
            events={"1": {"id": "x"}},
        ),
    )
    again, _ = registry.request(make_request(), rerun=False)
    assert (again.pending_deliveries, again.events) == (((1, "a"),), {"1": {"id": "x"}})
    registry.record_delivery(row.ref, "a", {**pending, "state": "Delivered"})
    assert registry.get(row.id).events == {}


def test_given_rows_then_those_with_anything_left_to_do_are_open(registry, make_request) -> None:
    row, _ = registry.request(make_request(), rerun=False)

    def is_open(**changes) -> bool:
        registry.amend(row.id, lambda now: replace(now, **changes))
        return row.id in {found.id for found in registry.open_rows()}

    assert is_open()
    assert not is_open(state=State.FAILED)
    assert is_open(landing="landing-x")
    assert not is_open(landing=None)
    assert is_open(deliveries={"1/a": {"event": "failed", "state": "Retrying"}})
    assert not is_open(deliveries={"1/a": {"event": "failed", "state": "Failed"}})


def test_given_an_old_attempt_when_changed_then_conflict(registry, make_request) -> None:
    row, _ = registry.request(make_request(), rerun=False)
    with pytest.raises(Conflict):
        registry.change(replace(row, attempt=7).ref, lambda now: now)
    with pytest.raises(NotFound):
        registry.get("no-such-export")


def test_given_a_processing_export_when_cancelled_then_too_late(registry, make_request) -> None:
    row, _ = registry.request(make_request(), rerun=False)
    assert registry.request_cancel(row.id).cancel_requested
    for state in (State.SUBMITTED, State.COLLECTING, State.PROCESSING):
        registry.change(row.ref, lambda now, state=state: replace(now, state=state))
    with pytest.raises(Conflict, match="cannot be cancelled"):
        registry.request_cancel(row.id)


def test_given_rows_that_nobody_can_read_then_lists_go_on_and_name_them(
    registry, storage, make_request, caplog
) -> None:
    good, _ = registry.request(make_request(), rerun=False)
    table = storage.table(EXPORTS_TABLE)
    entity = dict(table.get_entity("exports", good.id))
    odd = {
        "state": "Dreaming",
        "request": "{",
        "progress": "[" * 20_000,
        "deliveries": '{"1/t": 5}',
        "phases": '{"create": "soon", "poll": "later"}',
        "late_files": "7",
    }
    for name, value in odd.items():
        table.create_entity({**entity, "RowKey": f"{good.id}-{name.replace('_', '-')}", name: value})
    app = good.request.app
    registry.mend_list()
    page = registry.page(parse_list_query({"app": app}))
    assert [row.id for row in page.rows] == [good.id]
    assert len(page.unreadable) == len(odd)
    assert good.id in {row.id for row in registry.open_rows()}
    with pytest.raises(UnreadableRow, match="mend it there, or delete it"):
        registry.get(page.unreadable[0])
    assert page.unreadable[0] in caplog.text


def test_given_a_poisoned_row_then_it_and_the_list_are_shown(registry, storage, make_request) -> None:
    row, _ = registry.request(make_request(), rerun=False)
    table = storage.table(EXPORTS_TABLE)
    entity = dict(table.get_entity("exports", row.id))
    table.upsert_entity(
        {**entity, "updated_at": "", "job_id": "a\ud800b\0", "error": json.dumps({"message": "\udfff"})}
    )
    registry.mend_list()
    (shown,) = registry.page(parse_list_query({"app": row.request.app})).rows
    body = json.loads(respond(200, show_export(shown, "http://x")).get_body())
    assert (body["jobId"], body["error"]) == ("a?b\0", {"message": "?"})


def test_given_a_continuation_that_storage_refuses_then_400(registry, monkeypatch) -> None:
    class Pages:
        continuation_token = None

        def __iter__(self):
            refused = HttpResponseError("no")
            refused.status_code = 400
            raise refused

    table = SimpleNamespace(query_entities=lambda *_, **__: SimpleNamespace(by_page=lambda _: Pages()))
    monkeypatch.setattr(Registry, "_table", table)
    with pytest.raises(
        RequestError, match=r"continuation: must be what an earlier answer's links\.next says"
    ):
        registry.page(ListQuery(continuation={"PartitionKey": "p", "RowKey": "r"}))
    with pytest.raises(HttpResponseError):
        registry.page(ListQuery())
