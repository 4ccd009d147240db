"""Cost of waiting for a long export job: our polling beside a fixed loop; storage calls of one export.

Both orchestrators poll the same simulated job through the real SDK, in virtual time, on the local host's
engine. `replay CPU` is the time the SDK takes for all episodes, `shipped` the history handed to it for them.
Run by `make bench-polling`; HOURS=1 for a quick look.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df

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
NAMES = ("shop", "stall")
DAYS = (21, 22)
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
    """Calls of one small export, both halves, to the data account."""

    by_service: Counter[str]
    polls: int


def storage_calls() -> tuple[Calls, Calls, dict[str, int]]:
    """Calls of an export that is polled as usual, of one polled all the time, of one run of each timer."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Azurite(log=Path(folder) / "azurite.log", access_log=True) as azurite,
    ):
        settings = read_settings(
            {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
        )
        raw = DataStorage(settings).container("raw")
        for name in NAMES:
            for day in DAYS:
                raw.upload_blob(f"{name}/events/2025-03-{day}/a.ndjson", EVENT)
        # Each with a table of its own: a commit costs more for each one before it.
        usual = _two_exports(azurite, Path(folder) / "usual", NAMES[0], {})
        always = {"POLL_FIRST_SECONDS": "0.05", "POLL_MAX_SECONDS": "0.05"}
        often = _two_exports(azurite, Path(folder) / "often", NAMES[1], always)
        timers = _timers(azurite, Path(folder) / "timers")
    return usual, often, timers


def _two_exports(azurite: Azurite, state: Path, name: str, settings: dict[str, str]) -> Calls:
    """The second of two: the first also makes containers and tables."""
    with _app(azurite, state, settings) as app:
        _run(app, name, DAYS[0])
        calls, polls = len(_lines(azurite)), _polls(app)
        asked = _run(app, name, DAYS[1])
        found = calls_by_service(_lines(azurite)[calls:])
        # Each look at the export, ours, is one read of its row.
        found["table GET"] -= asked
        return Calls(found, _polls(app) - polls)


def _timers(azurite: Azurite, state: Path) -> dict[str, int]:
    """Calls of each timer when there is nothing to do."""
    found = {}
    with _app(azurite, state, {}) as app:
        for name in ("tick", "purge"):
            # The first run also makes tables and asks for what exists.
            for _ in range(2):
                before, ran = len(_lines(azurite)), app.log.read_text().count(f"Executed 'Functions.{name}'")
                assert app.post(f"/admin/functions/{name}", {})[0] == 202
                while app.log.read_text().count(f"Executed 'Functions.{name}'") == ran:
                    time.sleep(0.05)
            found[name] = sum(calls_by_service(_lines(azurite)[before:]).values())
    return found


def _app(azurite: Azurite, state: Path, settings: dict[str, str]) -> App:
    state.mkdir()
    config = state / "exports.toml"
    config.write_text("".join(f"[apps.{name}]\n" for name in NAMES))
    # An app in Azure is told of blobs: here the trigger would look into `exports` once a second.
    off = {"AzureWebJobs.exported_file.Disabled": "true", "TRIGGER_GRACE_SECONDS": "0.5"}
    return App(
        azurite,
        state,
        free_ports(1)[0],
        host="devhost",
        EXPORTS_CONFIG=str(config),
        **off,
        **settings,
    )


def _lines(azurite: Azurite) -> list[str]:
    return azurite.log.read_text().splitlines()


def _polls(app: App) -> int:
    return app.log.read_text().count("Executed 'Functions.check_export_job' (Succeeded")


def calls_by_service(lines: list[str]) -> Counter[str]:
    """Calls in an access log of Azurite, as `table GET`."""
    line = re.compile(r'"(GET|PUT|POST|DELETE|HEAD|MERGE|PATCH) (\S+) HTTP')
    found = (match.groups() for text in lines if (match := line.search(text)))
    return Counter(f"{_service(url)} {method}" for method, url in found)


def _service(url: str) -> str:
    if "Tables" in url or re.search(r"/(exports|exporttasks|secrets|steps)\(", url) or "$filter" in url:
        return "table"
    return "blob"


def _run(app: App, name: str, day: int) -> int:
    """One export; how often it was looked at."""
    body = {"exportType": "Event", "app": name, "startDate": f"2025-03-{day}", "endDate": f"2025-03-{day}"}
    _, made = app.post("/api/exports", body)
    asked = 1
    while app.get(f"/api/exports/{made['id']}")[1]["phase"] != "done":
        asked += 1
        time.sleep(1)
    return asked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=12)
    hours = parser.parse_args().hours
    ours = poll(run_export, names.RUN_EXPORT, hours, our_input)
    fixed = poll(fixed_loop, "fixed_loop", hours, fixed_input)
    usual, often, timers = storage_calls()
    print(f"A job of {hours:g} hours, polled:\n")
    print(f"{'':34}" + "".join(f"{name:>14}" for name in ours))
    for label, row in (("run_export", ours), ("every 30 s, no continue_as_new", fixed)):
        print(f"{label:34}" + "".join(f"{value:>14,}" for value in row.values()))
    cpu = fixed["replay CPU s"] / ours["replay CPU s"]
    shipped = fixed["shipped MB"] / ours["shipped MB"]
    print(f"\n{cpu:,.0f} times less replay CPU, {shipped:,.0f} times less history shipped\n")
    print("Calls to the data account of one small export, both halves. Durable's own go to the host account:")
    print("on the real host 27 for an orchestration of two activities.\n")
    for name, number in sorted(usual.by_service.items()):
        print(f"  {number:4}  {name}")
    total, more = (sum(calls.by_service.values()) for calls in (usual, often))
    if often.polls == usual.polls:
        sys.exit("both exports ended after as many polls: what one costs cannot be told; run it again")
    each = (more - total) / (often.polls - usual.polls)
    print(f"  {total:4}  in all, with {usual.polls} polls; {more} with {often.polls}: {each:.1f} each\n")
    print("Calls of one run of each timer, with nothing to do:")
    for name, number in timers.items():
        print(f"  {number:4}  {name}")
    result = {"hours": hours, "ours": ours, "fixed": fixed, "cpu": round(cpu), "shipped": round(shipped)}
    calls = {
        "export": total,
        "polls": usual.polls,
        "eachPoll": round(each, 1),
        "byService": dict(sorted(usual.by_service.items())),
        "timers": timers,
    }
    print(json.dumps({**result, "storageCalls": calls}))


if __name__ == "__main__":
    main()
