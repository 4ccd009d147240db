"""The orchestrators in virtual time: over scripted activities, or the real ones with storage in memory."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from mobexport import clock
from mobexport import durable_names as names
from mobexport.config import ExportsConfig
from mobexport.errors import Conflict
from mobexport.export_types import ExportType
from mobexport.pipeline.jobs.export_api_client import ExportApiClient
from mobexport.pipeline.jobs.export_jobs import landing_of
from mobexport.pipeline.jobs.poll_policy import PollPolicy, PollProgress, Seen, decide
from mobexport.pipeline.jobs.source import Job
from mobexport.pipeline.messages import ProcessExport, RunExport
from mobexport.pipeline.process.processor import Processor
from mobexport.pipeline.registry.export_request import ExportRequest
from mobexport.pipeline.registry.states import JobState, State
from mobexport.services import Services
from mobexport.settings import read_settings
from mobexport.storage import EXPORTS_TABLE, RawBlob
from mobexport.tables.commit import TableCommit
from mobexport.wire import AttemptRef

POLICY = PollPolicy(first=5, most=300, queue_deadline=3600, run_deadline=7200, total_deadline=86_400)
SHORT = PollPolicy(
    first=5,
    most=60,
    queue_deadline=120,
    run_deadline=200,
    total_deadline=600,
    polls_per_generation=4,
    max_errors=5,
)
REF = AttemptRef("e", 1)


def error(code: str, *, retryable: bool = False) -> dict[str, Any]:
    return {"error": {"code": code, "kind": "remote", "message": f"it was {code}", "retryable": retryable}}


class Pipeline:
    """What the activities would do, as a script: job states in turn, then the last for ever."""

    def __init__(self, virtual_app: type, **options: Any) -> None:
        self.states: list[str] = ["Queued", "Running", "Succeeded"]
        self.looks: list[dict[str, Any]] = [{"files": 2}]
        self.cancelled = False
        self.processed = False
        self.processing_error: dict[str, Any] | None = None
        self.trigger = True
        self.ends: list[dict[str, Any]] = []
        self.policy = POLICY
        self.app = virtual_app(**options)
        self.h = self.app.h
        self.called = self.app.called
        self.overrides = self.app.overrides
        self.overrides |= {name: self._activity(name) for name in names.ACTIVITIES}

    def _activity(self, name: str) -> Callable[[Any], Any]:
        def run(step: Any) -> Any:
            guarded = name in (names.CREATE_EXPORT_JOB, names.CHECK_EXPORT_JOB, names.COLLECT_FILES)
            if guarded and self.cancelled:
                return error("Cancelled")
            return getattr(self, f"_{name}", lambda _: {"ok": {}})(step)

        return run

    def _create_export_job(self, _: Any) -> Any:
        return {"ok": {"phase": "poll", "collect": True}}

    def _plan_export_task(self, _: Any) -> Any:
        return {"ok": {"state": "Succeeded"}}

    def _check_export_job(self, step: Any) -> Any:
        state = JobState(self.states.pop(0) if len(self.states) > 1 else self.states[0])
        seen = Seen(state, "no reason" if state is JobState.FAILED else None)
        progress = PollProgress.from_json(step["progress"])
        return {"ok": decide(PollPolicy(**step["policy"]), progress, seen, "e", self.h.now).to_json()}

    def _collect_files(self, _: Any) -> Any:
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if "files" in found and self.trigger:
            self.h.schedule(2, self.start_processing)
        return {"ok": found}

    def start_processing(self) -> None:
        message = ProcessExport(export_id="e", attempt=1)
        self.app.start(names.PROCESS_EXPORT, names.process_instance(REF), message.to_json())

    def _begin_processing(self, _: Any) -> Any:
        if self.processed:
            self._wake()
        return {"ok": {"done": self.processed, "files": 2}}

    def _commit_export(self, _: Any) -> Any:
        self.processed = True
        self._wake()
        return {"ok": {}}

    def _give_up_processing(self, step: Any) -> Any:
        self.processing_error = step["outcome"]["error"]
        self._wake()
        return {"ok": {}}

    def _wake(self) -> None:
        with suppress(Exception):  # a hint, as in the activity: a run that has ended needs none
            self.h.raise_event(names.run_instance(REF), names.PROCESSED, None)

    def _ensure_processing_started(self, _: Any) -> Any:
        if self.processing_error:
            return {"error": self.processing_error}
        if self.processed:
            return {"ok": {"summary": self._finish_export({"outcome": {"ok": {}}})["ok"]}}
        self.start_processing()
        return {"ok": {}}

    def _finish_export(self, step: Any) -> Any:
        failed = step["outcome"].get("error")
        states = {"Cancelled": "Cancelled", "TimedOut": "TimedOut"}
        end = {"state": states.get(failed["code"], "Failed") if failed else "Succeeded", "error": failed}
        self.ends.append(end)
        return {"ok": end}

    def start(self) -> str:
        """Starts the run; its instance id."""
        run = RunExport(
            export_id="e", attempt=1, policy=self.policy, began=self.h.now.isoformat(), grace_seconds=60
        )
        return self.h.start(names.RUN_EXPORT, run.to_json(), names.run_instance(REF))

    def cancel(self) -> None:
        """What the HTTP function does: the flag first, then the hints."""
        self.cancelled = True
        with suppress(Exception):  # a hint: a run that has ended needs none
            self.h.raise_event(names.run_instance(REF), names.CANCEL, None)


@pytest.fixture
def pipeline(virtual_app) -> Pipeline:
    return Pipeline(virtual_app)


@pytest.fixture
def make_pipeline(virtual_app) -> Callable[..., Pipeline]:
    return lambda **options: Pipeline(virtual_app, **options)


# --- the real activities, over an account in memory ---------------------------------------------------------


class _Entity(dict[str, Any]):
    metadata: dict[str, Any]


class MemoryTable:
    """What the app uses of a table client; `told` hears of every operation before it is done."""

    def __init__(self, told: Callable[[], None]) -> None:
        self.rows: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
        self.written: list[dict[str, Any]] = []
        self._told = told
        self._etags = itertools.count(1)

    def create_entity(self, entity: dict[str, Any]) -> dict[str, str]:
        self._told()
        if (entity["PartitionKey"], entity["RowKey"]) in self.rows:
            raise ResourceExistsError("there")
        return self._write(entity)

    def get_entity(self, partition: str, row: str) -> _Entity:
        self._told()
        try:
            etag, entity = self.rows[partition, row]
        except KeyError:
            raise ResourceNotFoundError("gone") from None
        found = _Entity(entity)
        found.metadata = {"etag": str(etag)}
        return found

    def update_entity(self, entity: dict[str, Any], *, etag: str, **_: Any) -> dict[str, str]:
        self._told()
        if str(self.rows[entity["PartitionKey"], entity["RowKey"]][0]) != etag:
            refused = HttpResponseError("changed")
            refused.status_code = 412
            raise refused
        return self._write(entity)

    def submit_transaction(self, operations: list[Any]) -> list[dict[str, str]]:
        """A row and its copy for the list: both or none."""
        (kind, row, *condition), (_, copy) = operations
        written = self.create_entity(row) if kind == "create" else self.update_entity(row, **condition[0])
        self.rows[copy["PartitionKey"], copy["RowKey"]] = (next(self._etags), dict(copy))
        return [written]

    def query_entities(self, query: str, **_: Any) -> list[_Entity]:
        """What the tick asks: the open rows of a partition, or all rows or copies, to mend the list."""
        self._told()
        partition = query.split("'")[1]
        keys = sorted(key for key in self.rows if key[0] == partition)
        if query != f"PartitionKey eq '{partition}' and open eq true":
            copies = "RowKey ge" in query
            return [self.get_entity(*key) for key in keys if key[1].startswith("~") is copies]
        return [self.get_entity(*key) for key in keys if self.rows[key][1].get("open")]

    def upsert_entity(self, entity: dict[str, Any]) -> None:
        self._told()
        self.rows[entity["PartitionKey"], entity["RowKey"]] = (next(self._etags), dict(entity))

    def delete_entity(self, partition: str, row: str) -> None:
        self._told()
        self.rows.pop((partition, row), None)

    def _write(self, entity: dict[str, Any]) -> dict[str, str]:
        etag = next(self._etags)
        self.rows[entity["PartitionKey"], entity["RowKey"]] = (etag, dict(entity))
        self.written.append(dict(entity))
        return {"etag": str(etag)}


class MemoryStorage:
    """A data account in memory: tables, and containers of blobs."""

    def __init__(self) -> None:
        self.containers: dict[str, dict[str, bytes]] = {}
        self.told: Callable[[], None] = lambda: None
        self._tables: dict[str, MemoryTable] = {}

    def table(self, name: str) -> MemoryTable:
        return self._tables.setdefault(name, MemoryTable(lambda: self.told()))

    def container(self, name: str, *, create: bool = True) -> SimpleNamespace:
        self.told()
        blobs = self.containers.setdefault(name, {})
        return SimpleNamespace(upload_blob=lambda blob, data: blobs.__setitem__(blob, data))

    def container_write_url(self, name: str, lifetime: Any) -> str:
        return f"memory://{name}?sig=x"

    def delete_container(self, name: str) -> None:
        self.told()
        self.containers.pop(name, None)

    def list_blobs(self, container: str, prefix: str = "") -> Iterator[RawBlob]:
        self.told()
        for name, data in sorted(self.containers.get(container, {}).items()):
            if name.startswith(prefix):
                yield RawBlob(name, "e", len(data))

    def copy_blob(self, source: str, blob: RawBlob, target: str, name: str, labels: Any = None) -> bool:
        self.told()
        self.containers.setdefault(target, {}).setdefault(name, self.containers[source][blob.name])
        return True

    def read_json(self, container: str, name: str) -> Any:
        found = self.read_json_etag(container, name)
        return found[0] if found else None

    def read_json_etag(self, container: str, name: str) -> tuple[Any, str] | None:
        self.told()
        data = self.containers.get(container, {}).get(name)
        return (json.loads(data), data.decode()) if data is not None else None

    def write_json(
        self, container: str, name: str, value: Any, *, etag: str | None = None, labels: Any = None
    ) -> bool:
        self.told()
        blobs = self.containers.setdefault(container, {})
        there = blobs.get(name)
        if (there is not None) if etag is None else (there is None or there.decode() != etag):
            return False
        blobs[name] = json.dumps(value).encode()
        return True

    def list_containers(self, prefix: str) -> list[tuple[str, None]]:
        self.told()
        return [(name, None) for name in self.containers if name.startswith(prefix)]


class MemoryTables:
    """Curated tables in memory: for each day of a table the newest request's files."""

    def __init__(self, told: Callable[[], None]) -> None:
        self.days: dict[tuple[str, date], TableCommit] = {}
        self._told = told

    def last_manifest(self, app: str, export_type: ExportType) -> str | None:
        self._told()
        found = [commit for (folder, _), commit in self.days.items() if folder == f"{app}/{export_type.name}"]
        return max(found, key=lambda commit: commit.order).manifest if found else None

    def commit(self, commit: TableCommit) -> None:
        self._told()
        for day in commit.days:
            known = self.days.get((commit.folder, day))
            if known is None or known.order < commit.order:
                self.days[commit.folder, day] = commit


class MemoryApi:
    """A job source in memory: the script says what a job shows, poll by poll, and which calls fail."""

    states = ExportApiClient.states
    delivery = ExportApiClient.delivery
    file_format = ExportApiClient.file_format

    def __init__(self, storage: MemoryStorage) -> None:
        self.jobs: dict[str, Job] = {}
        self.script = ["Queued", "Started", "Succeeded"]
        self.files = {"Event-1.json": b"[]"}
        self.failures: list[Exception | None] = []
        self.lose_create = False
        self.aborted: list[str] = []
        self._storage = storage

    def create(self, request: ExportRequest, container_url: str, description: str) -> Job:
        self._fail()
        job = Job(f"job-{len(self.jobs) + 1}", "Queued", description)
        self.jobs[job.id] = job
        if self.lose_create:
            self.lose_create = False
            raise ConnectionError("the answer was lost")
        return job

    def status(self, request: ExportRequest, job_id: str) -> Job:
        self._fail()
        state = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        landing = landing_of(self.jobs[job_id])
        if state == "Succeeded" and landing in self._storage.containers:
            self._storage.containers[landing] |= self.files
        return replace(self.jobs[job_id], state=state)

    def find_by_marker(self, request: ExportRequest, marker: str) -> list[Job]:
        self._fail()
        return [job for job in self.jobs.values() if job.description.startswith(marker)]

    def abort(self, request: ExportRequest, job_id: str) -> None:
        self.aborted.append(job_id)

    def _fail(self) -> None:
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure


class ScriptedProcessor(Processor):
    """Reads no file: each has two rows and a reject."""

    def _convert(self, row: Any, index: int, blob: Any, *_: Any) -> Any:
        counts = {"records": 3, "rows": 2, "rejected": 1}
        return {**counts, "rules": {}, "lenient": {}, "outputs": [], "rejects": None, "input": {}}


class MemoryApp:
    """The whole pipeline in virtual time: real orchestrators, activities and registry; account, API and
    targets in memory. One export, `row`, is asked for."""

    def __init__(self, virtual_app: type, **options: Any) -> None:
        self.storage = MemoryStorage()
        self.api = MemoryApi(self.storage)
        self.sent: list[dict[str, Any]] = []
        self.answers: list[Exception | None] = []
        # Replays of earlier prefixes have tests of their own; here they would take most of the time.
        self.app = virtual_app(prefixes=2, **options)
        settings = read_settings(
            {
                "DATA_STORAGE": "UseDevelopmentStorage=true",
                "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
                "ROLE": "pipeline",
                "EXPORT_API_URL": "http://127.0.0.1:9",
            }
        )
        targets = {name: {"kind": "storage-queue"} for name in ("hook", "queue")}
        config = ExportsConfig.model_validate({"targets": targets})
        self.tables = MemoryTables(lambda: self.storage.told())
        self.services = Services(
            settings, config, self.storage, lambda _: self.api, self._send, lambda _: self.tables
        )
        self.app.services = self.services
        self.registry = self.services.registry
        vars(self.services)["processor"] = ScriptedProcessor(
            self.registry, self.storage, settings, self.tables, self.services.steps
        )
        self.h = self.app.h
        day = date(2025, 3, 23)
        request = ExportRequest("shop", "Event", (day, day), None, ("hook", "queue"), False, self.h.now)
        with self.in_virtual_time():
            self.row, _ = self.registry.request(request, rerun=False)
        self.cancel_answer: str | None = None

    def _send(self, target: Any, event: dict[str, Any], _: Any) -> None:
        if self.answers and (answer := self.answers.pop(0)) is not None:
            raise answer
        self.sent.append(dict(event))

    def start(self) -> None:
        """What the HTTP function does after it made the row."""
        run = RunExport(
            export_id=self.row.id, attempt=1, policy=SHORT, began=self.row.began_at, grace_seconds=9
        )
        self.app.start(names.RUN_EXPORT, names.run_instance(self.row.ref), run.to_json())

    def blob_event(self) -> None:
        """What the blob trigger does, for an event that may come at any time."""
        found = self.registry.get(self.row.id)
        if found.manifest is None and found.processing_error is None and not found.state.terminal:
            given = ProcessExport(export_id=found.id, attempt=1).to_json()
            self.app.start(names.PROCESS_EXPORT, names.process_instance(found.ref), given)

    def cancel(self) -> None:
        """What the HTTP function does; keeps its answer."""
        try:
            self.registry.request_cancel(self.row.id)
            self.cancel_answer = "accepted"
        except Conflict:
            self.cancel_answer = "too late"
            return
        with suppress(Exception):
            self.h.raise_event(names.run_instance(self.row.ref), names.CANCEL, None)

    @property
    def states(self) -> list[State]:
        """Every state that was ever written, in order."""
        return [State(entity["state"]) for entity in self.storage.table(EXPORTS_TABLE).written]

    @contextmanager
    def in_virtual_time(self) -> Iterator["MemoryApp"]:
        """The app's clock goes with the harness's."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clock, "now", lambda: self.h.now)
            yield self


@pytest.fixture
def memory_app(virtual_app) -> Callable[..., MemoryApp]:
    return lambda **options: MemoryApp(virtual_app, **options)
