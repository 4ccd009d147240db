"""What waiting for a long export job costs: our polling beside a fixed loop; storage calls of one export.

Both orchestrators poll the same simulated job through the real SDK, in virtual time, on the local host's
engine. `replay CPU` is the time the SDK takes for all episodes, `shipped` the history handed to it for them.
Run by `make bench-polling`; HOURS=1 for a quick look.
"""

import argparse
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df

from devhost.replay import ReplayHarness
from mobexport import durable_names as names
from mobexport.pipeline.poll_policy import PollPolicy, PollProgress
from mobexport.settings import read_settings
from mobexport.storage import DataStorage
from orchestrators.poll_export_job import poll_export_job
from samples.app import App
from samples.azurite import Azurite
from samples.processes import free_ports

DAY = timedelta(days=1).total_seconds()
POLICY = PollPolicy(first=5, most=300, queue_deadline=DAY, run_deadline=DAY, total_deadline=DAY)
EVENT = b'{"deviceId":"d1","name":"open","timestamp":"2025-03-23T10:00:00Z"}\n'


def fixed_loop(context: Any) -> Any:
    """The baseline: every 30 seconds, in one execution, as a first version would be written."""
    given = context.get_input()
    while True:
        outcome = yield context.call_activity(names.CHECK_EXPORT_JOB, given)
        if outcome["ok"]["state"] == "Collecting":
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

    def check(_: Any) -> Any:
        state = "Collecting" if h.now >= end else "Running"
        return {"ok": {"state": state, "error": None, "retryAfter": None}}

    h = Measured(name, function, {names.CHECK_EXPORT_JOB: check})
    end = h.now + timedelta(hours=hours)
    instance = h.start(name, given(h.now))
    h.run()
    assert h.status(instance).runtime_status == "Completed"
    return {
        "polls": len(h.activity_calls),
        "episodes": h.episodes,
        "replay CPU s": round(h.cpu, 3),
        "shipped MB": round(h.shipped / 1e6, 3),
        "late s": round((h.now - end).total_seconds()),
    }


def our_input(now: Any) -> dict[str, Any]:
    """Input of `poll_export_job`."""
    progress = PollProgress(polls=0, errors=0, began=now, state="Queued", since=now)
    step = {"version": 1, "exportId": "e", "attempt": 1}
    return {**step, "policy": POLICY.to_json(), "progress": progress.to_json()}


def storage_calls() -> Counter[str]:
    """Calls that one small export makes to the data account, both halves, by service and method."""
    line = re.compile(r'"(GET|PUT|POST|DELETE|HEAD|MERGE|PATCH) (\S+) HTTP')
    with (
        tempfile.TemporaryDirectory() as folder,
        Azurite(log=Path(folder) / "azurite.log", access_log=True) as azurite,
    ):
        settings = read_settings(
            {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
        )
        DataStorage(settings).container("raw").upload_blob("shop/events/2025-03-23/a.ndjson", EVENT)
        config = str(Path(folder) / "none.toml")
        with App(azurite, Path(folder), free_ports(1)[0], host="devhost", EXPORTS_CONFIG=config) as app:
            body = {"exportType": "Event", "app": "shop", "endDate": "2025-03-23"}
            # The first export also makes containers and tables; the second is what each further one costs.
            _run(app, {**body, "startDate": "2025-03-22"})
            before = len(azurite.log.read_text().splitlines())
            _run(app, {**body, "startDate": "2025-03-23"})
            calls = azurite.log.read_text().splitlines()[before:]
    found: Counter[str] = Counter()
    for method, url in (match.groups() for call in calls if (match := line.search(call))):
        # The host's own scan for the blob trigger lists `exports` once a second, whatever the app does.
        scan = "comp=list" in url and "/exports?" in url and "prefix" not in url
        found["host: blob trigger scan" if scan else f"{_service(url)} {method}"] += 1
    return found


def _service(url: str) -> str:
    if "Tables" in url or re.search(r"/(exports|exporttasks|secrets)\(", url) or "$filter" in url:
        return "table"
    return "blob"


def _run(app: App, body: dict[str, Any]) -> None:
    _, made = app.post("/api/exports", body)
    while app.get(f"/api/exports/{made['id']}")[1]["phase"] != "done":
        # Asking costs a table read as well; once a second is few enough to be told apart.
        time.sleep(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=12)
    hours = parser.parse_args().hours
    ours = poll(poll_export_job, names.POLL_EXPORT_JOB, hours, our_input)
    fixed = poll(fixed_loop, "fixed_loop", hours, lambda _: {"exportId": "e"})
    calls = storage_calls()
    print(f"A job of {hours:g} hours, polled:\n")
    print(f"{'':34}" + "".join(f"{name:>14}" for name in ours))
    for label, row in (("poll_export_job", ours), ("every 30 s, no continue_as_new", fixed)):
        print(f"{label:34}" + "".join(f"{value:>14,}" for value in row.values()))
    cpu = fixed["replay CPU s"] / ours["replay CPU s"]
    shipped = fixed["shipped MB"] / ours["shipped MB"]
    print(f"\n{cpu:,.0f} times less replay CPU, {shipped:,.0f} times less history shipped\n")
    print(
        "Calls to the data account of one small export, both halves. Durable's own come on top: on the real"
    )
    print("host 27 for an orchestration of two activities.")
    for name, number in sorted(calls.items()):
        print(f"  {number:4}  {name}")
    result = {"hours": hours, "ours": ours, "fixed": fixed, "cpu": round(cpu), "shipped": round(shipped)}
    print(json.dumps({**result, "storageCalls": dict(sorted(calls.items()))}))


if __name__ == "__main__":
    main()
