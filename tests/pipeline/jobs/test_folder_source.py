"""A source that is no Export API, from the request to Parquet: the port asks for nothing of its own."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

import duckdb
import pytest
from folder_source import VENDOR, FolderSource

from mobexport import clock, services
from mobexport import durable_names as names
from mobexport.blob_paths import CURATED_CONTAINER
from mobexport.config import App, ExportsConfig, Source
from mobexport.pipeline.jobs.export_api_client import ExportApiClient
from mobexport.pipeline.jobs.poll_policy import PollPolicy
from mobexport.pipeline.messages import RunExport
from mobexport.services import Services
from mobexport.settings import read_settings

POLICY = PollPolicy(first=5, most=60, queue_deadline=600, run_deadline=600, total_deadline=900)
LOCAL = {"DATA_STORAGE": "UseDevelopmentStorage=true", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
HEADER = b"deviceId,name,timestamp,infoId,sessionId,locationId,extras\r\n"
FILES = {
    "part-1.csv": HEADER + b"d1,open,2025-03-23T10:00:00Z,,,,\r\nd1,bad,soon,,,,\r\n",
    "part-2.csv": HEADER + b"d2,close,2025-03-23T11:00:00Z,,,,\r\n",
}


class Run:
    """One export of an app whose jobs run elsewhere, in virtual time over a real account."""

    def __init__(self, virtual_app: type, storage: Any, source: FolderSource, app: str) -> None:
        config = ExportsConfig.model_validate({"apps": {app: {}}})
        settings = read_settings(LOCAL)
        self.app = virtual_app()
        self.app.services = self.services = Services(settings, config, storage, lambda _: source)
        self.h = self.app.h
        body = {"exportType": "Event", "app": app, "startDate": "2025-03-23", "endDate": "2025-03-23"}
        self.row, _ = self.services.request_export(body)

    def play(self) -> Any:
        """The run to its end; the row as it is then."""
        row = self.row
        run = RunExport(export_id=row.id, attempt=1, policy=POLICY, began=row.began_at, grace_seconds=9)
        self.app.start(names.RUN_EXPORT, names.run_instance(self.row.ref), run.to_json())
        self.h.run()
        return self.services.registry.get(self.row.id)

    def cancel(self) -> None:
        self.services.registry.request_cancel(self.row.id)
        self.h.raise_event(names.run_instance(self.row.ref), names.CANCEL, None)


@pytest.fixture
def source(storage, make_request) -> FolderSource:
    return FolderSource(storage, make_request().app)


@pytest.fixture
def run(virtual_app, storage, source, make_request, monkeypatch) -> Run:
    found = Run(virtual_app, storage, source, make_request().app)
    start, real = found.h.now, datetime.now(UTC)
    monkeypatch.setattr(clock, "now", lambda: real + (found.h.now - start))
    return found


def finish(source: FolderSource) -> None:
    """The files first, then the status document."""
    (job,) = source.jobs()
    for name, data in FILES.items():
        source.put(f"{job}/files/{name}", data)
    source.put(f"{job}/status.json", {"phase": "done"})


def test_given_files_and_a_status_document_when_exported_then_parquet(run, source, storage, tmp_path) -> None:
    run.h.schedule(8, lambda: source.put("job-1/status.json", {"phase": "working"}))
    run.h.schedule(20, lambda: finish(source))
    row = run.play()
    assert (str(row.state), row.files, row.counts["rows"], row.counts["rejected"]) == ("Succeeded", 2, 2, 1)
    manifest = storage.read_json(CURATED_CONTAINER, row.manifest)
    found = []
    for output in manifest["outputs"]:
        file = tmp_path / "rows.parquet"
        file.write_bytes(storage.container(CURATED_CONTAINER).download_blob(output["path"]).readall())
        found += duckdb.sql(f"SELECT deviceId, name FROM '{file}'").fetchall()
    assert sorted(found) == [("d1", "open"), ("d2", "close")]
    # Whose files they are is none of our business: they stay, and no container of ours was made.
    assert [blob.name.rpartition("/")[2] for blob in storage.list_blobs(VENDOR, f"{row.request.app}/")] == [
        *FILES, "job.json", "status.json"
    ]  # fmt: skip
    assert row.landing is None
    assert not row.open


def test_given_a_lost_answer_then_the_folder_job_is_found_by_its_marker(run, source) -> None:
    crashed = iter([True])
    run.app.crashed = lambda name: name == names.CREATE_EXPORT_JOB and next(crashed, False)
    run.h.schedule(20, lambda: finish(source))
    assert str(run.play().state) == "Succeeded"
    assert source.jobs() == ["job-1"]


def test_given_a_job_that_breaks_then_failed_with_its_own_reason(run, source) -> None:
    run.h.schedule(8, lambda: source.put("job-1/status.json", {"phase": "broken", "why": "disk full"}))
    row = run.play()
    assert (str(row.state), row.error["code"]) == ("Failed", "JobFailed")
    assert "disk full" in row.error["message"]


def test_given_a_status_word_not_in_its_map_then_failed_never_running(run, source) -> None:
    run.h.schedule(8, lambda: source.put("job-1/status.json", {"phase": "paused"}))
    row = run.play()
    assert (str(row.state), row.error["code"]) == ("Failed", "UnknownState")


def test_given_a_cancel_when_the_job_runs_then_it_is_stopped_at_its_source(run, source, storage) -> None:
    run.h.schedule(8, run.cancel)
    row = run.play()
    assert (str(row.state), row.orphans) == ("Cancelled", ("job-1",))
    assert storage.read_json(VENDOR, f"{row.request.app}/job-1/stop.json") == {}


def test_given_a_source_that_cannot_deliver_to_a_container_then_refused(run, source) -> None:
    request = replace(run.row.request, destination="team.blob.core.windows.net/c")
    run.row, _ = run.services.registry.request(request, rerun=False)
    row = run.play()
    assert (str(row.state), row.error["code"]) == ("Failed", "NoDestination")


def test_every_kind_in_exports_toml_has_a_source() -> None:
    assert set(get_args(Source.model_fields["kind"].annotation)) == set(services._SOURCES)


def test_given_a_source_of_another_kind_then_the_apps_jobs_run_there(
    storage, source, make_request, monkeypatch
) -> None:
    settings = read_settings(LOCAL)
    monkeypatch.setitem(services._SOURCES, "folder", lambda endpoint: (source, endpoint.url))
    own = App(source=Source.model_construct(kind="folder", url="https://vendor.example", scope="x"))
    config = ExportsConfig.model_construct(apps={"here": own, "there": App()})
    made = Services(settings, config, storage)
    assert made.source("here") == (source, "https://vendor.example")
    assert isinstance(made.source("there"), ExportApiClient)
