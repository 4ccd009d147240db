"""A data account of a test's own, and a scripted Export API instead of a real one."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from mobexport.pipeline.jobs.export_api_client import ExportApiClient
from mobexport.pipeline.jobs.source import Job
from mobexport.pipeline.registry.export_request import ExportRequest
from mobexport.pipeline.registry.registry import Registry
from mobexport.settings import read_settings
from mobexport.storage import DataStorage


@pytest.fixture
def storage(azurite) -> DataStorage:
    """The emulator's account; tests use apps and exports of their own."""
    settings = read_settings(
        {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    )
    return DataStorage(settings)


@pytest.fixture
def registry(storage: DataStorage) -> Registry:
    return Registry(storage)


@pytest.fixture
def make_request(request: pytest.FixtureRequest) -> Callable[..., ExportRequest]:
    """An Event request of an app named after the test."""
    app = f"app-{abs(hash(request.node.nodeid)) % 10**8}"

    def make(**changes) -> ExportRequest:
        day = date(2025, 3, 23)
        values = {
            "app": app,
            "export_type": "Event",
            "window": (day, day),
            "snapshot_day": None,
            "notify": (),
            "strict": False,
            "requested_at": datetime(2026, 11, 24, 12, tzinfo=UTC),
        }
        return ExportRequest(**{**values, **changes})

    return make


class ScriptedSource:
    """An Export API in memory: tasks by id, and what was asked of it."""

    states = ExportApiClient.states
    delivery = ExportApiClient.delivery
    file_format = ExportApiClient.file_format

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.urls: dict[str, str] = {}
        self.calls: list[str] = []
        self.lose_answer = False

    def create(self, request: ExportRequest, container_url: str, description: str) -> Job:
        self.calls.append("create")
        job = Job(f"job-{len(self.jobs) + 1}", "Queued", description)
        self.jobs[job.id] = job
        self.urls[job.id] = container_url
        if self.lose_answer:
            self.lose_answer = False
            raise ConnectionError("the answer was lost")
        return job

    def status(self, request: ExportRequest, job_id: str) -> Job:
        self.calls.append("status")
        return self.jobs[job_id]

    def abort(self, request: ExportRequest, job_id: str) -> None:
        self.calls.append("abort")

    def find_by_marker(self, request: ExportRequest, marker: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.description.startswith(marker)]


@pytest.fixture
def source() -> ScriptedSource:
    return ScriptedSource()
