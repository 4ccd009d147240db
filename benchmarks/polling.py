"""Cost of waiting for a long export job: our polling beside a fixed loop; storage calls of one export.

Both orchestrators poll the same simulated job through the real SDK, in virtual time, on the local host's
engine. `replay CPU` is the time the SDK takes for all episodes, `shipped` the history handed to it for them.
Run by `make bench-polling`; HOURS=1 for a quick look.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
from running_app import TASKS
from scripted_export_api import ScriptedExportApi

from benchmarks.storage_calls import calls_by_service
from devhost.replay import ReplayHarness
from localdev.app import App
from localdev.azurite import Azurite
from localdev.processes import free_ports
from mobexport import durable_names as names
from mobexport.pipeline.jobs.poll_policy import PollPolicy, PollProgress, Seen, decide
from mobexport.pipeline.messages import CheckJob, RunExport
from mobexport.pipeline.registry.states import JobState
from mobexport.settings import read_settings
from mobexport.storage import DataStorage
from orchestrators.run_export import run_export

DAY = timedelta(days=1).total_seconds()
POLICY = PollPolicy(first=5, most=300, queue_deadline=DAY, run_deadline=DAY, total_deadline=DAY)
DAYS = (21, 22)
PATH = TASKS.format(app="shop")
EVENT = b'{"deviceId":"d1","name":"open","timestamp":"2025-03-23T10:00:00Z"}\n'


def fixed_loop(context: Any) -> Any:
    """The baseline: every 30 seconds, in one execution, as a first version would be written."""
    given = context.get_input()
    while True:
        outcome = yield context.call_activity(names.CHECK_EXPORT_JOB, given)
        if "end" in outcome["ok"]:
            return outcome
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=30))


class Measured(ReplayHarness):
    """The harness without its own replays, which counts what each episode costs."""

    def __init__(self, name: str, function: Callable[[Any], Any], activities: dict[str, Any]) -> None:
        super().__init__({name: function}, activities)
        self.episodes, self.cpu, self.shipped = 0, 0.0, 0
        handle = df.Orchestrator.create(function)

        def call(context: str) -> str:
            began = time.process_time()
            answer = str(handle(context))
            self.cpu += time.process_time() - began
            self.episodes += 1
            self.shipped += len(context.encode())
            return answer

        self._engine._orchestrators = {name.lower(): call}  # noqa: SLF001

    def _run_episode(self, instance_id: str) -> None:
        if self._engine.run_episode(instance_id) and self._store.has_work(instance_id):
            self.instance_ready(instance_id)


def poll(
    function: Callable[[Any], Any], name: str, hours: float, given: Callable[[Any], Any]
) -> dict[str, Any]:
    """Polls a job that runs so many hours; the costs."""

    def check(step: dict[str, Any]) -> Any:
        seen = Seen(JobState.SUCCEEDED if h.now >= end else JobState.RUNNING)
        return {"ok": decide(POLICY, PollProgress.from_json(step["progress"]), seen, "e", h.now).to_json()}

    # The job's files are in a container of the caller's own: nothing but polling is left.
    create = {"ok": {"phase": "poll", "collect": False}}
    activities = {
        names.CHECK_EXPORT_JOB: check,
        names.CREATE_EXPORT_JOB: lambda _: create,
        names.FINISH_EXPORT: lambda _: {"ok": {}},
    }
    h = Measured(name, function, activities)
    end = h.now + timedelta(hours=hours)
    instance = h.start(name, given(h.now))
    h.run()
    assert h.status(instance).runtime_status == "Completed"
    return {
        "polls": sum(name == names.CHECK_EXPORT_JOB for _, name, _ in h.activity_calls),
        "episodes": h.episodes,
        "replay CPU s": round(h.cpu, 3),
        "shipped MB": round(h.shipped / 1e6, 3),
        "late s": round((h.now - end).total_seconds()),
    }


def our_input(now: Any) -> dict[str, Any]:
    """Input of `run_export`."""
    began = now.isoformat()
    return RunExport(export_id="e", attempt=1, policy=POLICY, began=began, grace_seconds=60).to_json()


def fixed_input(now: Any) -> dict[str, Any]:
    """Input of the baseline: that of each of its polls."""
    progress = PollProgress.begin(now, now).to_json()
    step = CheckJob(export_id="e", attempt=1, policy=POLICY, progress=progress, now=now.isoformat())
    return step.to_json()


@dataclass(frozen=True)
class Calls:
    """Calls to the data account."""

    export: Counter[str]
    """One small export, both halves."""
    polls: int
    """How often that export's job was polled."""
    each_poll: float
    """A further poll, both halves."""
    timers: dict[str, int]
    """One run of each, with nothing to do."""


def storage_calls() -> Calls:
    with (
        tempfile.TemporaryDirectory() as folder,
        Azurite(log=Path(folder) / "azurite.log", access_log=True) as azurite,
        ScriptedExportApi() as scripted,
    ):
        settings = read_settings(
            {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
        )
        raw = DataStorage(settings).container("raw")
        for day in DAYS:
            raw.upload_blob(f"shop/events/2025-03-{day}/a.ndjson", EVENT)
        with _app(
            azurite, Path(folder) / "app", f'[apps.shop]\n[apps.far]\nsource = {{url = "{scripted.url}"}}'
        ) as app:
            timers = {"tick": _timer(azurite, app, "tick")}
            # The first one also makes containers and tables.
            _run(azurite, app, "shop", DAYS[0])
            polls = _polls(app)
            export = _run(azurite, app, "shop", DAYS[1])
            polls = _polls(app) - polls
            each = _each_poll(azurite, app, scripted)
            timers["purge"] = _timer(azurite, app, "purge")
    return Calls(export, polls, each, timers)


def _each_poll(azurite: Azurite, app: App, scripted: ScriptedExportApi) -> float:
    """By jobs of another Export API that take longer, and our own asked for a job's status."""
    found = []
    for number, day in ((2, 1), (2, 2), (22, 3)):
        scripted.states = (*["Queued"] * number, "Succeeded")
        polls = _polls(app)
        calls = sum(_run(azurite, app, "far", day).values())
        found.append((_polls(app) - polls, calls))
    (_, (fewer, less), (more, most)) = found
    _, export = app.get("/api/exports?app=shop")
    path = f"{PATH}/{export['exports'][0]['jobId']}?api-version=2014-12-01"
    before = len(_lines(azurite))
    for _ in range(10):
        status, answer = app.get(path)
        assert status == 200, answer
    served = sum(calls_by_service(_lines(azurite)[before:]).values()) / 10
    return (most - less) / (more - fewer) + served


def _timer(azurite: Azurite, app: App, name: str) -> int:
    """Calls of a timer's second run, with nothing to do: the first one makes tables."""
    for _ in range(2):
        before, ran = len(_lines(azurite)), app.log.read_text().count(f"Executed 'Functions.{name}'")
        assert app.post(f"/admin/functions/{name}", {})[0] == 202
        while app.log.read_text().count(f"Executed 'Functions.{name}'") == ran:
            time.sleep(0.05)
    return calls_by_service(_lines(azurite)[before:]).total()


def _app(azurite: Azurite, state: Path, apps: str) -> App:
    state.mkdir()
    config = state / "exports.toml"
    config.write_text(apps)
    # An app in Azure is told of blobs: here the trigger would look into `exports` once a second.
    quick = {"POLL_FIRST_SECONDS": "0.5", "POLL_MAX_SECONDS": "0.5", "TRIGGER_GRACE_SECONDS": "0.5"}
    return App(
        azurite,
        state,
        free_ports(1)[0],
        host="devhost",
        EXPORTS_CONFIG=str(config),
        EXPORT_API_AUTH="none",
        **{"AzureWebJobs.exported_file.Disabled": "true"},
        **quick,
    )


def _lines(azurite: Azurite) -> list[str]:
    return azurite.log.read_text().splitlines()


def _polls(app: App) -> int:
    return app.log.read_text().count("Executed 'Functions.check_export_job' (Succeeded")


def _run(azurite: Azurite, app: App, name: str, day: int) -> Counter[str]:
    """Calls of one export."""
    before = len(_lines(azurite))
    body = {
        "exportType": "Event",
        "app": name,
        "startDate": f"2025-03-{day:02}",
        "endDate": f"2025-03-{day:02}",
    }
    _, made = app.post("/api/exports", body)
    asked = 1
    while app.get(f"/api/exports/{made['id']}")[1]["phase"] != "done":
        asked += 1
        time.sleep(1)
    found = calls_by_service(_lines(azurite)[before:])
    # Each look at the export, ours, is one read of its row.
    found["table GET"] -= asked
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=12)
    hours = parser.parse_args().hours
    ours = poll(run_export, names.RUN_EXPORT, hours, our_input)
    fixed = poll(fixed_loop, "fixed_loop", hours, fixed_input)
    calls = storage_calls()
    print(f"A job of {hours:g} hours, polled:\n")
    print(f"{'':34}" + "".join(f"{name:>14}" for name in ours))
    for label, row in (("run_export", ours), ("every 30 s, no continue_as_new", fixed)):
        print(f"{label:34}" + "".join(f"{value:>14,}" for value in row.values()))
    cpu = fixed["replay CPU s"] / ours["replay CPU s"]
    shipped = fixed["shipped MB"] / ours["shipped MB"]
    print(f"\n{cpu:,.0f} times less replay CPU, {shipped:,.0f} times less history shipped\n")
    print("Calls to the data account of one small export, both halves. Durable's own go to the host account:")
    print("on the real host 27 for an orchestration of two activities.\n")
    for name, number in sorted(calls.export.items()):
        print(f"  {number:4}  {name}")
    print(
        f"  {calls.export.total():4}  in all, with {calls.polls} polls; {calls.each_poll:.1f} each further\n"
    )
    print("Calls of one run of each timer, with nothing to do:")
    for name, number in calls.timers.items():
        print(f"  {number:4}  {name}")
    result = {"hours": hours, "ours": ours, "fixed": fixed, "cpu": round(cpu), "shipped": round(shipped)}
    counted = {
        "export": calls.export.total(),
        "polls": calls.polls,
        "eachPoll": round(calls.each_poll, 1),
        "byService": dict(sorted(calls.export.items())),
        "timers": calls.timers,
    }
    print(json.dumps({**result, "storageCalls": counted}))


if __name__ == "__main__":
    main()
