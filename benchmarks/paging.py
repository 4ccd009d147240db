"""Time of a page of the list of export tasks, over HTTP, with many tasks; run by `make bench-paging`.

Each row is one page, asked for several times, of an app with many tasks on Azurite behind devhost; as
baselines, in the same run, the same call on an app with one task, and one row of the table read with the SDK.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from localdev.app import App
from localdev.azurite import Azurite
from localdev.processes import free_ports
from mobexport.clock import stamp
from mobexport.contract import API_VERSION, ORDER_FIELDS, TaskState
from mobexport.export_api.tasks.task_index import END_OF_TASKS, _key
from mobexport.export_api.tasks.task_registry import ExportTask, _to_entity
from mobexport.ids import created_at, new_task_id
from mobexport.settings import read_settings
from mobexport.storage import TASKS_TABLE, DataStorage

RUNS = 15
PATH = (
    "/api/subscriptions/s/resourceGroups/r/providers/Microsoft.MobileEngagement/appcollections/a/apps/{app}"
    "/devices/exportTasks"
)
# A transaction takes 100 operations, and two rows are a task.
BATCH = 49


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    tasks = parser.parse_args().tasks
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        with Azurite(log=state / "azurite.log") as azurite:
            storage = DataStorage(
                read_settings(
                    {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
                )
            )
            for app, count in (("many", tasks), ("one", 1)):
                storage.container("raw").upload_blob(f"{app}/tags/2025-03-23/a.ndjson", b"")
                _fill(storage, app, count)
            settings = {"EXPORTS_CONFIG": os.devnull}
            with App(azurite, state, free_ports(1)[0], host="devhost", **settings) as running:
                _measure(running.url, storage, tasks)


def _fill(storage: DataStorage, app: str, count: int) -> None:
    """Tasks as the registry keeps them, by the transaction; every tenth failed, with a reason."""
    table = storage.table(TASKS_TABLE)
    task_id = ""
    for first in range(1, count + 1, BATCH):
        rows: list[Any] = []
        for number in range(first, min(first + BATCH, count + 1)):
            task_id = new_task_id()
            failed = number % 10 == 0
            task = ExportTask(
                app=app,
                id=task_id,
                export_type="Tag",
                state=TaskState.FAILED if failed else TaskState.SUCCEEDED,
                date_created=stamp(created_at(task_id)),
                description=f"task {number} " + "x" * 100,
                date_completed=stamp(),
                error_details=f"container 'c{number % 7}' refused the file" if failed else None,
            )
            rows.append(("create", _to_entity(task)))
            rows.append(("create", {"PartitionKey": app, "RowKey": _key(number), "taskId": task_id}))
        table.submit_transaction(rows)
    table.create_entity(
        {"PartitionKey": app, "RowKey": f"{END_OF_TASKS}head", "count": count, "lastId": task_id}
    )


def _measure(url: str, storage: DataStorage, tasks: int) -> None:
    session = requests.Session()
    session.trust_env = False

    def page(app: str, skip: int, order: str) -> Callable[[], Any]:
        query = f"?api-version={API_VERSION}&$top=40&$skip={skip}&$orderby={quote(order)}"

        def call() -> Any:
            answer = session.get(url + PATH.format(app=app) + query, timeout=600)
            answer.raise_for_status()
            return answer.json()

        return call

    figures: dict[str, dict[str, float]] = {}
    print(f"{tasks:,} tasks, pages of 40, {RUNS} calls each\n{'':<44}{'median ms':>10}{'worst ms':>10}")

    def row(name: str, call: Callable[[], Any], runs: int = RUNS) -> None:
        call()
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            call()
            times.append((time.perf_counter() - began) * 1000)
        figures[name] = {"median": round(statistics.median(times), 1), "worst": round(max(times), 1)}
        print(f"{name:<44}{figures[name]['median']:>10.1f}{figures[name]['worst']:>10.1f}")

    table = storage.table(TASKS_TABLE)
    row("baseline: one row, SDK alone", lambda: table.get_entity("many", f"{END_OF_TASKS}head"))
    row("baseline: the list of an app with one task", page("one", 0, "taskId asc"))
    for field in ORDER_FIELDS:
        for direction in ("asc", "desc"):
            slow = field not in ("taskId", "dateCreated")
            for skip in (0, tasks // 2, tasks - 40):
                name = f"{field} {direction}, $skip={skip}"
                row(name, page("many", skip, f"{field} {direction}"), 3 if slow else RUNS)
    times = []
    link: str | None = f"{url}{PATH.format(app='many')}?api-version={API_VERSION}&$top=40"
    found = 0
    while link:
        began = time.perf_counter()
        answer = session.get(link, timeout=60).json()
        times.append((time.perf_counter() - began) * 1000)
        found += len(answer["value"])
        link = answer.get("nextLink")
    if found != tasks:
        raise SystemExit(f"following nextLink gave {found} tasks of {tasks}")
    figures["every nextLink"] = {"median": round(statistics.median(times), 1), "worst": round(max(times), 1)}
    name = f"every nextLink, {len(times)} pages"
    print(f"{name:<44}{statistics.median(times):>10.1f}{max(times):>10.1f}")
    print(json.dumps({"tasks": tasks, "ms": figures}))


if __name__ == "__main__":
    main()
