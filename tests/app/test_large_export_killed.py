"""Large export tasks on the running app: `kill -9` at every step, and the file of an undisturbed run."""

import json
import os
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from running_app import TASKS

from localdev.app import App
from localdev.azurite import Azurite
from localdev.processes import free_ports
from mobexport.config import ExportsConfig
from mobexport.services import Services
from mobexport.settings import read_settings
from mobexport.storage import DataStorage
from mobexport.wire import Outcome

PATH = TASKS.format(app="big")
DATES = {"startDate": "2025-03-23", "endDate": "2025-03-24", "exportFormat": "JsonBlob"}
LARGE = {"EXPORT_SMALL_MB": "0", "EXPORT_SLICE_MB": "0.02"}
STEPS = ("plan_export_task", "partition_slice", "write_bucket", "commit_file", "finish_export_task")
KILLS = [(step, edge, 1) for step in STEPS for edge in ("Executing", "Executed")]
KILLS += [("partition_slice", "Executing", 3), ("write_bucket", "Executed", 4)]


def lines(day: int) -> bytes:
    """About 65 KB; some lines are bad."""
    rows = [
        {
            "deviceId": f"d{n % 37}",
            "name": f"n{n}",
            "timestamp": f"2025-03-{day}T{n % 24:02}:{n % 60:02}:00Z",
            "extras": {"text": "x" * (n % 40)},
        }
        for n in range(500)
    ]
    return b"".join(
        b"no\n" if n % 90 == 0 else json.dumps(row).encode() + b"\n" for n, row in enumerate(rows)
    )


def settings(azurite: Azurite, **more: str) -> dict[str, str]:
    base = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    return {**base, "EXPORT_API_AUTH": "none", **more}


@pytest.fixture(scope="module")
def storage(azurite: Azurite) -> DataStorage:
    made = DataStorage(read_settings(settings(azurite)))
    for day in (23, 24):
        made.container("raw").upload_blob(f"big/events/2025-03-{day}/a.ndjson", lines(day), overwrite=True)
    return made


@pytest.fixture(scope="module")
def expected(azurite: Azurite, storage: DataStorage) -> bytes:
    """The file as the small path writes it, in this process."""
    services = Services(read_settings(settings(azurite)), ExportsConfig(), storage)
    storage.container("landing-small")
    url = storage.container_write_url("landing-small", timedelta(hours=1))
    task = services.export_tasks.create("big", "events", {**DATES, "containerUrl": url})
    planned = services.task_writer.plan(task.ref)
    assert planned.slices == 0
    counts = services.task_writer.write_file(planned)
    services.export_tasks.finish(task.ref, Outcome(counts))
    return storage.container("landing-small").download_blob(f"Event-{task.id}.json").readall()


@pytest.fixture(scope="module")
def running(azurite: Azurite, storage: DataStorage, tmp_path_factory) -> Iterator[App]:
    state: Path = tmp_path_factory.mktemp("large")
    more = {**LARGE, "EXPORTS_CONFIG": os.devnull}
    with App(azurite, state, free_ports(1)[0], host="devhost", **more) as app:
        yield app


def wait_for(app: App, pattern: str, count: int, start: int) -> None:
    """Until the log has that line so many times, from `start` on."""
    deadline = time.monotonic() + 60
    while len(re.findall(pattern, app.log.read_text()[start:])) < count:
        assert time.monotonic() < deadline, app.log.read_text()[-2000:]
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize(("step", "edge", "count"), KILLS, ids=lambda value: str(value))
def test_given_a_large_task_and_a_killed_host_then_the_same_bytes(
    running: App, storage: DataStorage, expected: bytes, step: str, edge: str, count: int
) -> None:
    target = f"landing-killed-{KILLS.index((step, edge, count))}"
    storage.container(target)
    url = storage.container_write_url(target, timedelta(hours=1))
    start = len(running.log.read_text())
    status, task = running.post(f"{PATH}/events?api-version=2014-12-01", {**DATES, "containerUrl": url})
    assert status == 202
    wait_for(running, rf"{edge} 'Functions\.{step}'", count, start)
    running.kill()
    running.restart()
    deadline = time.monotonic() + 90
    while task["state"] not in ("Succeeded", "Failed"):
        assert time.monotonic() < deadline, running.log.read_text()[-3000:]
        time.sleep(0.1)
        _, task = running.get(f"{PATH}/{task['id']}?api-version=2014-12-01")
    assert task["state"] == "Succeeded", task
    assert "12 raw records rejected" in task["errorDetails"]
    assert [blob.name for blob in storage.container(target).list_blobs()] == [f"Event-{task['id']}.json"]
    written = storage.container(target).download_blob(f"Event-{task['id']}.json").readall()
    assert written == expected
