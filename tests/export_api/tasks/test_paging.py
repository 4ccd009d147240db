"""Lists of tasks: every order and page as plain sorting gives it, whoever created them at the same time."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from mobexport.clock import now, stamp
from mobexport.contract import ORDER_FIELDS, ListOptions
from mobexport.errors import NotFound, Throttled
from mobexport.export_api.tasks import task_registry
from mobexport.export_api.tasks.selection import EVERYTHING, Selection
from mobexport.export_api.tasks.task_index import TaskIndex, numbers
from mobexport.export_api.tasks.task_registry import ExportTask, TaskRegistry
from mobexport.ids import created_at, is_task_id, new_task_id
from mobexport.storage import TASKS_TABLE

URL = "https://team.blob.core.windows.net/c?sig=x"


@pytest.fixture
def registry(storage) -> TaskRegistry:
    return TaskRegistry(storage)


def add(registry: TaskRegistry, app: str) -> ExportTask:
    return registry.add(app, "Tag", EVERYTHING, URL)


def test_given_tasks_in_all_states_then_paged_as_plain_sorting_gives(registry, app) -> None:
    made = []
    for number in range(23):
        task = add(registry, app)
        if number % 4:
            registry.start(app, task.id)
        if number % 4 == 2:
            registry.succeed(app, task.id, {}, f"{number % 3} rejected" if number % 3 else None)
        if number % 4 == 3:
            registry.fail(app, task.id, f"reason {number % 2}")
        made.append(registry.get(app, task.id))
    keys: dict[str, Callable[[ExportTask], tuple[str, str]]] = {
        "taskId": lambda task: (task.id, ""),
        "dateCreated": lambda task: (task.date_created, task.id),
        "taskStatus": lambda task: (task.state, task.id),
        "errorDetails": lambda task: (task.error_details or "", task.id),
    }
    assert set(keys) == set(ORDER_FIELDS)
    for field, key in keys.items():
        for descending in (False, True):
            expected = [task.id for task in sorted(made, key=key, reverse=descending)]
            for skip, top in ((0, 40), (0, 1), (0, 23), (5, 7), (16, 7), (20, 7), (22, 1), (23, 5), (99, 40)):
                options = ListOptions(skip=skip, top=top, order_by=field, descending=descending)
                page, more = registry.page(app, options)
                assert [task.id for task in page] == expected[skip : skip + top], options
                assert more == (skip + top < len(made)), options
                assert all(task in made for task in page)


def test_given_next_links_when_followed_then_every_task_once(registry, app) -> None:
    made = [add(registry, app).id for _ in range(11)]
    options, found = ListOptions(top=3, descending=True), []
    while True:
        page, more = registry.page(app, options)
        found += [task.id for task in page]
        if not more:
            break
        options = options.next()
    assert found == made[::-1]


def test_given_no_tasks_when_listed_then_an_empty_page(registry, app) -> None:
    for field in ORDER_FIELDS:
        assert registry.page(app, ListOptions(order_by=field)) == ([], False)


def test_given_concurrent_creates_then_numbers_and_ids_ascend_together(registry, storage, app) -> None:
    def create() -> None:
        own = TaskRegistry(storage)
        for _ in range(5):
            add(own, app)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    index = TaskIndex(storage.table("exporttasks"))
    assert index.head(app).count == 20
    ids = [index.id(app, number) for number in range(1, 21)]
    assert len(set(ids)) == 20
    assert ids == sorted(ids)
    page, _ = registry.page(app, ListOptions(top=40))
    assert [task.id for task in page] == ids
    # One container URL each: those of the tries that lost are gone.
    rows = storage.table("secrets").query_entities("PartitionKey eq @app", parameters={"app": app})
    assert sorted(row["RowKey"] for row in rows) == ids


def test_given_a_clock_set_back_then_ids_and_dates_still_ascend(registry, app, monkeypatch) -> None:
    first = add(registry, app)
    monkeypatch.setattr("mobexport.ids.time.time_ns", lambda: 10**18)
    monkeypatch.setattr("mobexport.ids._last", 0)
    second = add(registry, app)
    assert second.id > first.id
    assert second.date_created >= first.date_created == stamp(created_at(first.id))


def test_given_an_outdated_head_when_appended_then_refused_as_a_whole(registry, storage, app) -> None:
    index = TaskIndex(storage.table("exporttasks"))
    for _ in range(2):
        old = index.head(app)
        add(registry, app)
        late = new_task_id()
        assert not index.append(old, {"PartitionKey": app, "RowKey": late, "x": 1})
        with pytest.raises(NotFound):
            registry.get(app, late)
    assert index.head(app).count == 2


def test_given_appends_that_always_lose_then_throttled_without_a_secret(
    registry, storage, app, monkeypatch
) -> None:
    monkeypatch.setattr(TaskIndex, "append", lambda *_: False)
    with pytest.raises(Throttled):
        add(registry, app)
    rows = storage.table("secrets").query_entities("PartitionKey eq @app", parameters={"app": app})
    assert list(rows) == []


@pytest.mark.parametrize("task_id", ["~head", "~0000000001", "", "none", "a' or true or 'a", "../x"])
def test_given_what_is_no_task_id_when_looked_up_then_not_found(registry, app, task_id: str) -> None:
    add(registry, app)
    assert not is_task_id(task_id)
    with pytest.raises(NotFound):
        registry.get(app, task_id)


def test_given_unfinished_tasks_then_counted_up_to_the_limit(registry, app) -> None:
    made = [add(registry, app) for _ in range(4)]
    assert registry.unfinished(app, 10) == 4
    assert registry.unfinished(app, 3) == 3
    registry.fail(app, made[0].id, "why")
    assert registry.unfinished(app, 10) == 3


def test_given_a_container_url_without_a_task_then_removed_once_old(
    registry, storage, app, monkeypatch
) -> None:
    kept = add(registry, app)
    secrets = storage.table("secrets")
    orphan = new_task_id()
    secrets.create_entity({"PartitionKey": app, "RowKey": orphan, "containerUrl": URL})
    assert registry.unfinished(app, 10) == 2
    monkeypatch.setattr(task_registry, "_ORPHANED", -task_registry._ORPHANED)
    assert registry.unfinished(app, 10) == 1
    assert registry.container_url(app, orphan) is None
    assert registry.container_url(app, kept.id) == URL


@pytest.mark.parametrize("count", [0, 1, 5, 40, 41])
def test_given_any_page_when_numbered_then_as_slicing_gives_it(count: int) -> None:
    everything = list(range(1, count + 1))
    for skip in range(count + 2):
        for top in (1, 2, 40):
            for descending in (False, True):
                first, last = numbers(count, skip, top, descending=descending)
                found = list(range(first, last + 1))[:: -1 if descending else 1]
                assert found == everything[:: -1 if descending else 1][skip : skip + top]


def test_given_a_selection_when_kept_then_the_same_comes_back(registry, app) -> None:
    selection = Selection(only={"campaignType": ("Poll",), "campaignId": (-(2**63), 1, 2**63 - 1)})
    task = registry.add(app, "Push", selection, URL, export_format="CsvBlob", description="é\U0001f600")
    found = registry.get(app, task.id)
    assert replace(found, etag="") == task
    assert json.loads(json.dumps(selection.to_json())) == selection.to_json()


def test_given_a_task_whose_row_nobody_can_read_then_the_list_goes_on(registry, storage, caplog) -> None:
    app = "odd-rows"
    tasks = [registry.add(app, "Event", EVERYTHING, "https://x?sig=x") for _ in range(3)]
    table = storage.table(TASKS_TABLE)
    table.update_entity({"PartitionKey": app, "RowKey": tasks[1].id, "selection": "[" * 20_000})
    for field in ("taskId", "taskStatus"):
        page, _ = registry.page(app, ListOptions(order_by=field))
        assert [task.id for task in page] == [tasks[0].id, tasks[2].id]
    assert tasks[1].id in caplog.text
    ids = {task.id for task in registry.unended(now() + timedelta(hours=1)) if task.app == app}
    assert ids == {tasks[0].id, tasks[2].id}
