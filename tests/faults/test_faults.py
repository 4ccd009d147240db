"""A misbehaving Export API over real HTTP, one fault a case: the right end, nothing lost, nothing doubled.

The app's own orchestrators and activities run in virtual time over a real account; only time is simulated.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from delta_log import rows_of
from scripted_export_api import CUT, DOWN, GARBAGE, HTML, LOST, Fault, ScriptedExportApi

from mobexport import clock
from mobexport import durable_names as names
from mobexport.blob_paths import CURATED_CONTAINER
from mobexport.config import Endpoint, ExportsConfig, Source
from mobexport.pipeline.jobs.export_api_client import ExportApiClient
from mobexport.pipeline.jobs.poll_policy import PollPolicy
from mobexport.pipeline.messages import ProcessExport, RunExport
from mobexport.services import Services
from mobexport.settings import read_settings
from mobexport.storage import DataStorage

POLICY = PollPolicy(
    first=5,
    most=60,
    queue_deadline=300,
    run_deadline=300,
    total_deadline=900,
    polls_per_generation=5,
    max_errors=6,
)


def events(*numbers: int) -> bytes:
    """An export file with these events of one device."""
    nested = [{"name": f"e{number}", "timestamp": "2025-03-23T10:00:00Z"} for number in numbers]
    return json.dumps([{"deviceId": "d", "events": nested}]).encode()


@dataclass(frozen=True)
class Case:
    """What the API does, and what has to come of it."""

    api: dict[str, Any] = field(default_factory=dict)
    state: str = "Succeeded"
    code: str | None = None
    """Of the error, for an attempt that did not succeed."""
    records: tuple[int, ...] = (1, 2)
    """The events that count in the end, each once."""
    jobs: int = 1
    late: int = 0
    during: Callable[[Any, Any], None] | None = None


def late_file(api: ScriptedExportApi, run: Any) -> None:
    """After the job's file was taken, another one comes."""
    step = run.h.schedule
    step(40, lambda: api.put(api.jobs[0], "Event-2.json", events(9)))


FILES = {"Event-1.json": events(1, 2)}
CASES = {
    "well": Case(),
    "down for a while": Case({"faults": [DOWN] * 3}),
    "down for ever": Case({"faults": [DOWN] * 100}, "Failed", "Transient", (), jobs=0),
    "down while polled, for ever": Case({"faults": [None, None, *[DOWN] * 100]}, "TimedOut", "TimedOut", ()),
    "slow": Case({"faults": [None, None, Fault(seconds=1.5), None]}),
    "429 with Retry-After": Case({"faults": [Fault(429, b"{}", {"Retry-After": "120"})]}),
    "500": Case({"faults": [Fault(500, b"{}")] * 2}),
    "503": Case({"faults": [None, Fault(503, b"{}"), None, Fault(503, b"{}")]}),
    "garbage": Case({"faults": [GARBAGE, None, GARBAGE]}),
    "HTML instead of JSON": Case({"faults": [None, None, HTML]}),
    "connections that break in the body": Case({"faults": [CUT, None, CUT, CUT]}),
    "a create whose answer is lost": Case({"create_faults": [LOST]}),
    "a create that was lost before it was done": Case({"create_faults": [DOWN]}),
    "a lost create that is listed late": Case({"create_faults": [LOST], "hide_newest": 2}, jobs=2),
    "a create answered with garbage": Case({"create_faults": [Fault(202, b"<html>")]}),
    "400": Case({"create_faults": [Fault(400, b"{}")]}, "Failed", "Rejected", (), jobs=0),
    "401": Case({"create_faults": [Fault(401, b"{}")]}, "Failed", "Configuration", (), jobs=0),
    "403 while polled": Case({"faults": [None, None, Fault(403, b"{}")]}, "Failed", "Configuration", ()),
    "a redirect": Case(
        {"create_faults": [Fault(307, b"{}", {"Location": "http://127.0.0.1:1/"})]},
        "Failed", "Rejected", (), jobs=0,
    ),
    "Failed": Case({"states": ("Queued", "Failed")}, "Failed", "JobFailed", ()),
    "an invented state": Case({"states": ("Queued", "Paused")}, "Failed", "UnknownState", ()),
    "Queued for ever": Case({"states": ("Queued",)}, "TimedOut", "TimedOut", ()),
    "Started for ever": Case({"states": ("Queued", "Started")}, "TimedOut", "TimedOut", ()),
    "back to Queued": Case({"states": ("Started", "Queued", "Started", "Succeeded")}),
    "succeeded with no file": Case({"files": {}}, "Empty", None, ()),
    "an empty array": Case({"files": {"Event-1.json": b"[]"}}, "Empty", None, ()),
    "two files": Case({"files": {"Event-1.json": events(1), "Event-2.json": events(2)}}),
    "a file listed late": Case({"files": {}}, during=lambda api, run: run.h.schedule(
        45, lambda: api.put(api.jobs[0], "Event-1.json", events(1, 2)))),
    "a late file": Case(late=1, during=late_file),
    "a truncated file": Case({"files": {"Event-1.json": events(1, 2)[:-3]}}, "Failed", "Truncated", ()),
    "a file of nonsense": Case({"files": {"Event-1.json": b"<html>"}}, "Failed", "NotAnArray", ()),
}  # fmt: skip


class Run:
    """One export against the scripted API."""

    def __init__(self, virtual_app: type, services: Services, api: ScriptedExportApi, name: str) -> None:
        self.app = virtual_app()
        self.app.services = self.services = services
        self.h = self.app.h
        self.storage = services.storage
        self.registry = services.registry
        body = {"exportType": "Event", "app": name, "startDate": "2025-03-23", "endDate": "2025-03-23"}
        self.row, _ = services.request_export(body)
        self.api = api

    def play(self) -> None:
        """The run to its end; then everything that may come again."""
        row = self.row
        given = RunExport(
            export_id=row.id, attempt=1, policy=POLICY, began=row.began_at, grace_seconds=9
        ).to_json()
        for _ in range(2):
            self.app.start(names.RUN_EXPORT, names.run_instance(row.ref), given)
            self.h.run()
            again = ProcessExport(export_id=row.id, attempt=1).to_json()
            self.app.start(names.PROCESS_EXPORT, names.process_instance(row.ref), again)
            self.h.run()

    def curated(self) -> list[str]:
        """Names of the events that the table has for the day."""
        folder = f"{self.row.request.app}/Event"
        rows = rows_of(self.storage.container(CURATED_CONTAINER), folder, "SELECT name FROM files")
        return sorted(name for (name,) in rows)


@pytest.mark.parametrize("name", CASES)
def test_given_a_fault_then_the_right_end_with_nothing_lost_or_doubled(
    azurite, virtual_app, monkeypatch, name: str
) -> None:
    case = CASES[name]
    app = "fault-" + "".join(char if char.isalnum() else "-" for char in name.lower())
    config = ExportsConfig.model_validate(
        {"apps": {app: {"notify": ["hook"]}}, "targets": {"hook": {"kind": "storage-queue"}}}
    )
    settings = read_settings(
        {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    )
    sent: list[dict[str, Any]] = []
    with ScriptedExportApi() as api:
        api.files = FILES
        for option, value in case.api.items():
            setattr(api, option, value if isinstance(value, int) else type(value)(value))
        client = ExportApiClient(Endpoint(api.url, "", "EXPORT_API_SCOPE", Source()), timeout=(2, 1))
        services = Services(
            settings,
            config,
            DataStorage(settings),
            lambda _: client,
            lambda target, event, storage: sent.append(dict(event)),
        )
        run = Run(virtual_app, services, api, app)
        start, real = run.h.now, datetime.now(UTC)
        # The app's clock goes with the virtual one, from the real moment on: a SAS must be valid now.
        monkeypatch.setattr(clock, "now", lambda: real + (run.h.now - start))
        if case.during:
            case.during(api, run)
        run.play()
        after = services.registry.get(run.row.id)
        assert (str(after.state), (after.error or {}).get("code")) == (case.state, case.code)
        if case.code == "Configuration":
            # It names the setting, and nobody asks again before it is changed.
            assert "EXPORT_API_SCOPE" in after.error["message"]
            assert api.faults == api.create_faults == []
            assert sum(call.startswith("POST") for call in api.calls) <= 1
        assert len(api.jobs) == case.jobs
        assert run.curated() == [f"e{number}" for number in case.records]
        event = "completed" if case.code is None else "failed"
        assert [one["id"] for one in sent] == [f"{after.id}/1/{event}"]
        for instance in run.h.instances():
            assert run.h.status(instance).runtime_status == "Completed"
        _reconciled(run, case, after)
        assert len(sent) == 1


def _reconciled(run: Run, case: Case, before: Any) -> None:
    """What the tick finds an hour later: tasks left behind and late files, nothing to do twice."""
    run.services.reconciler.open_rows(clock.now() + timedelta(hours=2))
    after = run.registry.get(before.id)
    assert not after.open
    assert len(after.late_files) == case.late
    others = {job.id for job in run.api.jobs} - {after.job_id}
    assert others <= set(after.orphans) or after.manifest is None
    assert (after.state, after.counts) == (before.state, before.counts)
