"""The timers, fired by hand in a running app: what was missed is asked for, goes on, or goes."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from running_app import SHIFTED, instance
from scripted_export_api import ScriptedExportApi
from waiting import until

from durable_app.healing import LOST
from localdev.app import App
from localdev.processes import free_ports
from mobexport import ids
from mobexport.cli import main
from mobexport.config import ExportsConfig
from mobexport.contract import TaskState
from mobexport.export_api.tasks.task_registry import TaskRegistry
from mobexport.services import Services
from mobexport.settings import read_settings
from mobexport.storage import EXPORTS_TABLE, DataStorage
from triggers.schedules import purge_history

EVENT = b'{"deviceId":"d1","name":"open","timestamp":"2025-03-23T10:00:00Z"}\n'
ONE_DAY = {"exportType": "Event", "startDate": "2025-03-23", "endDate": "2025-03-23"}


@pytest.fixture
def settings(azurite) -> dict[str, str]:
    return {
        "DATA_STORAGE": azurite.connection_string,
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "EXPORT_API_AUTH": "none",
    }


@pytest.fixture
def storage(settings) -> DataStorage:
    return DataStorage(read_settings(settings))


@contextmanager
def running(azurite, folder: Path, config: str, **extra: str) -> Iterator[App]:
    (folder / "sitecustomize.py").write_text(SHIFTED)
    (folder / "exports.toml").write_text(config)
    quick = {"POLL_FIRST_SECONDS": "0.5", "POLL_MAX_SECONDS": "1", "SHIFT_DAYS": "0"}
    places = {"EXPORTS_CONFIG": str(folder / "exports.toml"), "PYTHONPATH": str(folder)}
    with App(azurite, folder, free_ports(1)[0], host="devhost", **{**quick, **places, **extra}) as app:
        yield app


def restarted(app: App, **settings: str) -> None:
    app.kill()
    app._env |= settings
    app.restart()


def fire(app: App, timer: str) -> None:
    assert app.post(f"/admin/functions/{timer}", {})[0] == 202


def state(app: App, export_id: str) -> str:
    return str(app.get(f"/api/exports/{export_id}")[1]["state"])


def test_given_days_of_downtime_then_each_missed_day_is_exported(azurite, storage, tmp_path, capsys) -> None:
    config = '[apps.timed]\nschedule = {at = "00:00", types = ["Event", "Tag"], late_days = 1}\n'
    # Midnight may come while this runs.
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    through = {"PartitionKey": "schedules", "RowKey": "timed", "through": str(yesterday - timedelta(days=3))}
    storage.table(EXPORTS_TABLE).upsert_entity(through)

    def noted() -> date:
        row = storage.table(EXPORTS_TABLE).get_entity("schedules", "timed")
        return date.fromisoformat(row["through"])

    with running(azurite, tmp_path, config) as app:
        fire(app, "tick")
        until(app, lambda: noted() >= yesterday)
        missed = [str(yesterday - timedelta(days=n)) for n in (0, 1, 2)]

        def ended() -> list[dict[str, Any]]:
            exports = app.get("/api/exports?app=timed")[1]["exports"]
            return exports if all(one["phase"] == "done" for one in exports) and len(exports) >= 4 else []

        found = until(app, ended)
        assert {one["state"] for one in found} == {"Empty"}
        windows = [one["window"] for one in found if one["exportType"] == "Event"]
        assert [window for window in windows if window[0] in missed] == [[day, day] for day in missed]
        assert [one["exportType"] for one in found].count(
            "Tag"
        ) == noted().toordinal() - yesterday.toordinal() + 1
        assert main(["schedules", "--url", app.url]) == 0
        header, line = capsys.readouterr().out.splitlines()
        assert header.split("  ")[0] == "app"
        assert re.match(rf"timed +00:00 UTC +Event, Tag +{noted()} +\d{{4}}-\S+ \d\d:\d\d +\S+ 00:00$", line)
        assert main(["schedules", "--url", app.url, "--json"]) == 0
        (told,) = json.loads(capsys.readouterr().out)
        assert (told["app"], told["lateDays"], told["dueDays"]) == ("timed", 1, [])
        # Fired again, nothing is due.
        count = len(found)
        fire(app, "tick")
        time.sleep(0.5)
        assert len(app.get("/api/exports?app=timed")[1]["exports"]) == count or noted() > yesterday


def left_task(settings: dict[str, str], storage: DataStorage) -> str:
    """Id of a task of the Export API that is kept, and not started."""
    config = ExportsConfig.model_validate({"apps": {"left": {}}})
    storage.container("landing-left")
    body = {
        "containerUrl": storage.container_write_url("landing-left", timedelta(hours=1)),
        "exportFormat": "JsonBlob",
        "startDate": "2025-03-23",
        "endDate": "2025-03-23",
    }
    services = Services(read_settings(settings), config, storage)
    return services.export_tasks.create("left", "events", body).id


def test_given_work_left_undone_by_a_crash_then_a_new_worker_finds_it(
    azurite, settings, storage, tmp_path, monkeypatch
) -> None:
    raw = storage.container("raw")
    for name in ("undone", "left"):
        raw.upload_blob(f"{name}/events/2025-03-23/a.ndjson", EVENT, overwrite=True)
    asleep = {"TRIGGER_GRACE_SECONDS": "3600", "AzureWebJobs.exported_file.Disabled": "true"}
    with running(azurite, tmp_path, "[apps.undone]\n[apps.left]\n", **asleep) as app:
        # Collected, and neither trigger nor run is there to process it.
        export = app.post("/api/exports", {**ONE_DAY, "app": "undone"})[1]["id"]
        until(app, lambda: state(app, export) == "Processing")
        run = f"run-{export}-1"
        app.post(f"/runtime/webhooks/durabletask/instances/{run}/terminate?reason=lost", {})
        until(app, lambda: instance(app, run) == "Terminated")
        # A task of the Export API whose row was kept an hour ago, and the call died before its start.
        with monkeypatch.context() as patch:
            patch.setattr(ids, "_last", 0)
            patch.setattr(ids.time, "time_ns", lambda: int((time.time() - 3600) * 1e9))
            left = left_task(settings, storage)
        # The first call of the new worker finds both.
        restarted(app, TRIGGER_GRACE_SECONDS="0.5")
        app.post("/api/exports/none/cancel", {})
        until(app, lambda: state(app, export) == "Succeeded")
        task = until(app, lambda: (one := TaskRegistry(storage).get("left", left)).date_completed and one)
        assert task.state is TaskState.SUCCEEDED
        log = app.log.read_text()
        assert f"{LOST} run_export {run} is gone (Terminated)" in log
        assert app.get(f"/api/exports/{export}")[1]["restarts"] >= 1


def test_given_things_past_their_time_then_purged_and_what_runs_stays(azurite, storage, tmp_path) -> None:
    storage.container("raw").upload_blob("aged/events/2025-03-23/a.ndjson", EVENT, overwrite=True)
    with ScriptedExportApi() as api:
        api.states = ("Queued",)
        config = f'[apps.aged]\n[apps.stuck]\nsource = {{url = "{api.url}"}}\n'
        with running(azurite, tmp_path, config) as app:
            done = app.post("/api/exports", {**ONE_DAY, "app": "aged"})[1]["id"]
            stuck = app.post("/api/exports", {**ONE_DAY, "app": "stuck"})[1]["id"]
            until(app, lambda: (state(app, done), state(app, stuck)) == ("Succeeded", "Queued"))
            until(app, lambda: instance(app, f"run-{done}-1") == "Completed")
            left = "landing-0123456789abcdef0123"
            storage.container(left)
            collects = api.jobs[0].description.rpartition("/")[2]
            ended = {f"run-{done}-1", f"process-{done}-1"}

            fire(app, "purge")
            time.sleep(1)
            assert all(instance(app, name) for name in ended)
            assert storage.container(left, create=False).exists()

            restarted(app, SHIFT_DAYS="20")
            assert instance(app, f"run-{done}-1") == "Completed"
            fire(app, "purge")
            until(app, lambda: not any(instance(app, name) for name in ended))
            until(app, lambda: not storage.container(left, create=False).exists())
            # By filter without an ended state the host would have deleted these.
            assert instance(app, f"run-{stuck}-1") == "Running"
            assert storage.container(collects, create=False).exists()
            assert (state(app, done), state(app, stuck)) == ("Succeeded", "Queued")


def test_given_an_old_history_then_only_what_ended_is_purged_day_by_day() -> None:
    asked: list[tuple[datetime, datetime, list[Any]]] = []

    class Host:
        async def purge_instance_history_by(self, *given: Any) -> None:
            asked.append(given)

    before = datetime(2026, 11, 24, tzinfo=UTC)
    asyncio.run(purge_history(Host(), before))
    assert asked[0][1] == before
    # Without gaps, each a day at most but for the one that is there for long downtimes only.
    assert all(newer[0] == older[1] for newer, older in pairwise(asked))
    assert {end - begin for begin, end, _ in asked[:-1]} == {timedelta(days=1)}
    assert asked[-1][0] < datetime(2025, 1, 1, tzinfo=UTC)
    for _, _, states in asked:
        assert {state.name for state in states} == {"Completed", "Failed", "Terminated"}
