"""Accidents in a running app: dead workers, operators who end or purge what runs, a function that is gone."""

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from running_app import SHIFTED, instance
from scripted_export_api import ScriptedExportApi
from waiting import until

from durable_app.healing import LOST
from localdev.app import App
from localdev.processes import free_ports
from mobexport.heavy import MAX_DEATHS
from mobexport.settings import read_settings
from mobexport.storage import DataStorage

EVENT = b'{"deviceId":"d1","name":"open","timestamp":"2025-03-23T10:00:00Z"}\n'
ONE_DAY = {"exportType": "Event", "startDate": "2025-03-23", "endDate": "2025-03-23"}
DURABLE = "/runtime/webhooks/durabletask"
INSTANCES = f"{DURABLE}/instances"
# Run at the start of the app's process: one app's files end it, as a crash in native code does.
DEADLY = """
import os
from mobexport.pipeline.process import conversion
real = conversion.convert_file
def convert_file(*given, app, **named):
    if app == "deadly":
        os._exit(139)
    return real(*given, app=app, **named)
conversion.convert_file = convert_file
"""


# An orchestration that says more of itself than the host takes is failed by it.
TALKATIVE = """
import os
from azure.durable_functions import DurableOrchestrationContext as Context
if os.environ.get("TALKATIVE"):
    said = Context.set_custom_status
    Context.set_custom_status = lambda self, status: said(self, "x" * 40_000)
"""


@contextmanager
def running(azurite, folder: Path, **extra: str):
    quick = {"POLL_FIRST_SECONDS": "0.3", "POLL_MAX_SECONDS": "0.5", "TRIGGER_GRACE_SECONDS": "1"}
    (folder / "exports.toml").write_text(extra.pop("config", ""))
    settings = {**quick, "EXPORTS_CONFIG": str(folder / "exports.toml"), **extra}
    with App(azurite, folder, free_ports(1)[0], host="devhost", **settings) as app:
        yield app


def ended(app: App, export_id: str) -> Any:
    found = app.get(f"/api/exports/{export_id}")[1]
    return found.get("phase") == "done" and found


def test_given_a_file_that_kills_its_worker_then_only_its_export_fails(azurite, tmp_path: Path) -> None:
    settings = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    raw = DataStorage(read_settings(settings)).container("raw")
    for name in ("deadly", "innocent"):
        raw.upload_blob(f"{name}/events/2025-03-23/a.ndjson", EVENT, overwrite=True)
    (tmp_path / "sitecustomize.py").write_text(DEADLY)
    with running(azurite, tmp_path, PYTHONPATH=str(tmp_path)) as app:
        ids = [app.post("/api/exports", {**ONE_DAY, "app": name})[1]["id"] for name in ("deadly", "innocent")]
        # At the third death the host ends itself, and whoever watches it starts it again.
        until(app, app.ended, seconds=120)
        app.restart()
        deadly, innocent = (until(app, lambda one=one: ended(app, one), seconds=120) for one in ids)
        assert (deadly["state"], deadly["error"]["code"]) == ("Failed", "WorkerLost")
        for word in (f"died {MAX_DEATHS} times", "convert of exports/deadly/", "CONVERT_PART_MB"):
            assert word in deadly["error"]["message"]
        assert (innocent["state"], innocent["counts"]["rows"]) == ("Succeeded", 1)


@pytest.fixture
def polled(azurite, tmp_path: Path, request):
    """An app with an export whose job is queued for ever; its run."""
    with ScriptedExportApi() as api:
        api.states = ("Queued",)
        api.files = {
            "Event-1.json": b'[{"deviceId":"d","events":[{"name":"a","timestamp":"2025-03-23T10:00:00Z"}]}]'
        }
        (tmp_path / "sitecustomize.py").write_text(SHIFTED + TALKATIVE)
        name = request.node.callspec.params["accident"]
        config = f'[apps.{name}]\nsource = {{url = "{api.url}"}}\n'
        with running(azurite, tmp_path, config=config, PYTHONPATH=str(tmp_path)) as app:
            body = {**ONE_DAY, "app": name}
            export = app.post("/api/exports", body)[1]["id"]
            until(app, lambda: app.get(f"/api/exports/{export}")[1]["state"] == "Queued")
            attempt = app.get(f"/api/exports/{export}")[1]["attempt"]
            yield app, api, export, f"run-{export}-{attempt}"


def terminate(app: App, run: str) -> None:
    assert app.post(f"{INSTANCES}/{run}/terminate?reason=by+mistake", {})[0] == 202
    until(app, lambda: instance(app, run) == "Terminated")


def purge(app: App, run: str) -> None:
    terminate(app, run)
    answer = app._session.delete(f"{app.url}{INSTANCES}/{run}", timeout=30)
    assert answer.status_code == 200, answer.text
    assert instance(app, run) is None


def rename(app: App, run: str) -> None:
    """Leaves what a deployment does that has no function of that name any more."""
    terminate(app, run)
    assert app.post(f"{DURABLE}/orchestrators/run_export_old/{run}", {})[0] == 202
    until(app, lambda: instance(app, run) == "Failed")


def say_too_much(app: App, run: str) -> None:
    app.kill()
    app._env |= {"TALKATIVE": "1"}
    app.restart()
    until(app, lambda: instance(app, run) == "Failed")
    del app._env["TALKATIVE"]


ACCIDENTS = {"terminated": terminate, "purged": purge, "renamed": rename, "talkative": say_too_much}


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_given_a_run_that_was_ended_from_outside_then_it_goes_on(polled, accident: str) -> None:
    app, api, export, run = polled
    ACCIDENTS[accident](app, run)
    for job in api.jobs:
        job.states[:] = ["Succeeded"]
    # A run that has just begun is left alone for a minute.
    app.kill()
    app._env |= {"SHIFT_DAYS": "0.002"}
    app.restart()
    assert app.post("/admin/functions/tick", {})[0] == 202
    found = until(app, lambda: ended(app, export))
    # With its clock ahead, the app may take for lost what has just begun.
    assert (found["state"], found["restarts"] >= 1) == ("Succeeded", True)
    assert f"{LOST} run_export {run}" in app.log.read_text()
    assert len(api.jobs) == 1
