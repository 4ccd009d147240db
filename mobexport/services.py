"""Services: settings, configuration, storage and everything made of them, in one object.

Made once per process and passed to every function by its decorator; tests make their own. Import it inside
functions only: it loads the storage SDK, pydantic and requests.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

from mobexport.clock import now
from mobexport.config import App, Endpoint, ExportsConfig, config_path, find_endpoint, read_config
from mobexport.day_map import DayMap
from mobexport.errors import ConfigError, Unavailable
from mobexport.export_api.auth.authentication import check_caller
from mobexport.export_api.tasks.export_tasks import ExportTasks
from mobexport.export_api.tasks.task_registry import TaskRegistry
from mobexport.export_api.writer.steps import TaskWriter
from mobexport.heavy import HeavySteps
from mobexport.pipeline import notify
from mobexport.pipeline.collect.collector import Collector
from mobexport.pipeline.finishing import Finisher
from mobexport.pipeline.jobs.export_api_client import ExportApiClient
from mobexport.pipeline.jobs.export_jobs import ExportJobs
from mobexport.pipeline.jobs.poll_policy import PollPolicy
from mobexport.pipeline.jobs.source import JobSource
from mobexport.pipeline.messages import RunExport
from mobexport.pipeline.notify.delivery import Deliverer
from mobexport.pipeline.notify.trial import try_target
from mobexport.pipeline.notify.undelivered import Notifications
from mobexport.pipeline.process.processor import Processor
from mobexport.pipeline.purging import Purger
from mobexport.pipeline.reconciling import Reconciler
from mobexport.pipeline.registry.destinations import Destinations
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.registry.states import State
from mobexport.pipeline.requests.batch_parsing import parse_batch
from mobexport.pipeline.requests.batches import Batch, Batches
from mobexport.pipeline.requests.request_parsing import parse_request
from mobexport.pipeline.requests.scheduling import Scheduler
from mobexport.pipeline.requests.signed_calls import SignedCalls
from mobexport.settings import Settings, read_settings
from mobexport.storage import DataStorage
from mobexport.targets import Target

if TYPE_CHECKING:
    from mobexport.tables.tables import Tables

# Every `kind` of a `[source]` in exports.toml.
_SOURCES: Final[dict[str, Callable[[Endpoint], JobSource]]] = {"export-api": ExportApiClient}


def open_source(endpoint: Endpoint) -> JobSource:
    """The job source behind an endpoint, by the `kind` of its `[source]`."""
    return _SOURCES[endpoint.source.kind](endpoint)


def _open_tables(storage: DataStorage) -> Tables:
    # Heavy: for the steps that commit and purge, not for every request.
    from mobexport.tables.tables import Tables

    return Tables(storage)


@dataclass(frozen=True)
class Services:
    """Dependencies of the functions. Immutable, so all functions of a process share it."""

    settings: Settings
    config: ExportsConfig
    storage: DataStorage
    open_source: Callable[[Endpoint], JobSource] = open_source
    """The job source behind an endpoint."""
    post: Callable[[Target, Mapping[str, Any], DataStorage], None] = notify.send
    """Sends an event to a target."""
    open_tables: Callable[[DataStorage], Tables] = _open_tables
    """The curated tables of an account."""

    @cached_property
    def steps(self) -> HeavySteps:
        """Heavy steps of both halves."""
        return HeavySteps(self.storage)

    # --- the pipeline -------------------------------------------------------------------------------------

    @property
    def runs_pipeline(self) -> bool:
        """Whether this app runs the pipeline."""
        return self.settings.role != "export-api"

    def check_pipeline_role(self) -> None:
        """Raises Unavailable in an app that only serves the Export API."""
        if not self.runs_pipeline:
            raise Unavailable("ROLE is 'export-api': this app does not run the pipeline")

    @cached_property
    def tables(self) -> Tables:
        """Curated tables."""
        return self.open_tables(self.storage)

    @cached_property
    def registry(self) -> Registry:
        """Exports."""
        return Registry(self.storage)

    @cached_property
    def batches(self) -> Batches:
        """Batches of exports."""
        return Batches(self.storage, self.registry)

    def source(self, app: str) -> JobSource:
        """Job source of the app."""
        return self.open_source(find_endpoint(self.config, self.settings, app))

    @cached_property
    def jobs(self) -> ExportJobs:
        """Creates export jobs and checks on them."""
        return ExportJobs(self.registry, self.source, self.storage)

    @cached_property
    def collector(self) -> Collector:
        """Collects the files of jobs."""
        return Collector(self.registry, self.storage)

    @cached_property
    def processor(self) -> Processor:
        """Converts and commits collected files."""
        return Processor(self.registry, self.storage, self.settings, self.tables, self.steps)

    @cached_property
    def finisher(self) -> Finisher:
        """Ends attempts."""
        return Finisher(self.registry, self.storage, self.processor, self.source, self._reject_alert)

    def _reject_alert(self, app: str) -> float:
        own = self.config.apps.get(app, App()).reject_alert
        return self.settings.reject_alert if own is None else own

    @cached_property
    def deliverer(self) -> Deliverer:
        """Sends notifications."""
        return Deliverer(self.registry, self._post)

    def _post(self, target: str, event: Mapping[str, Any]) -> None:
        self.post(self.config.target(target), event, self.storage)

    @cached_property
    def notifications(self) -> Notifications:
        """Notifications of all exports, to list and to send again."""
        return Notifications(self.registry, self.config)

    def test_target(self, name: str) -> dict[str, Any]:
        """How one try to send a test event to a target went. Raises NotFound."""
        return try_target(self.config, name, self._post)

    @cached_property
    def scheduler(self) -> Scheduler:
        """The schedules of exports.toml."""
        return Scheduler(self.config, self.settings, self.storage, self.batches, self.registry, self._post)

    @cached_property
    def reconciler(self) -> Reconciler:
        """Finds exports with work left."""
        return Reconciler(
            self.registry, self.storage, self.finisher, self.source, self.settings.late_file_hours
        )

    @cached_property
    def signed_calls(self) -> SignedCalls:
        """Signed calls that were admitted."""
        return SignedCalls(self.storage)

    @cached_property
    def purger(self) -> Purger:
        """Deletes old data, and keeps tables up."""
        # Heavy, as the tables are.
        from mobexport.tables.upkeep import TableUpkeep

        history = timedelta(days=self.settings.table_history_days)
        upkeep = TableUpkeep(self.tables, self.steps, history)
        return Purger(self.registry, self.storage, self.settings, self.signed_calls, upkeep)

    def request_export(self, body: Any) -> tuple[ExportRow, bool]:
        """The export of a request body, and whether this call began an attempt. Raises RequestError."""
        parsed = parse_request(body, self.config, self.settings, now(), self.storage.blobs.url)
        row, began = self.registry.request(parsed.request, rerun=parsed.rerun)
        if parsed.container_url is not None and row.state is State.REQUESTED:
            # Also for a request that found it: the call that made the row may have died before this line.
            Destinations(self.storage).keep(row.ref, parsed.container_url)
        return row, began

    def request_batch(self, body: Any) -> tuple[Batch, bool]:
        """The batch of a request body, and whether this call began it. Raises RequestError."""
        return self.batches.add(parse_batch(body, self.config, self.settings, now()))

    def run_schedule(self, app: str) -> tuple[Batch, bool]:
        """The batch that the app's schedule would request now, and whether this call began it. Raises
        NotFound."""
        return self.batches.add(self.scheduler.batch_now(app, now()))

    @cached_property
    def day_map(self) -> DayMap:
        """Raw data and tables, day by day."""
        return DayMap(self.config, self.settings, self.storage, self.tables)

    def run_message(self, row: ExportRow) -> RunExport:
        """Input of `run_export`: a snapshot of the settings, so that a running export never sees a change."""
        settings, own = self.settings, self.config.apps.get(row.request.app, App())
        policy = PollPolicy(
            first=settings.poll_first_seconds,
            most=settings.poll_max_seconds,
            queue_deadline=(own.queue_deadline or settings.queue_deadline).total_seconds(),
            run_deadline=(own.run_deadline or settings.run_deadline).total_seconds(),
            total_deadline=(own.total_deadline or settings.total_deadline).total_seconds(),
        )
        return RunExport(
            export_id=row.id,
            attempt=row.attempt,
            policy=policy,
            began=row.began_at,
            grace_seconds=settings.trigger_grace_seconds,
            trace=row.trace,
        )

    # --- the Export API -----------------------------------------------------------------------------------

    @property
    def serves_export_api(self) -> bool:
        """Whether this app serves the Export API."""
        return self.settings.role != "pipeline"

    def admit_caller(self, authorization: str | None, app: str) -> None:
        """Raises Unavailable, Unauthorized or Forbidden unless that caller may export that app."""
        check_caller(self.settings, self.config, authorization, app)

    @cached_property
    def tasks(self) -> TaskRegistry:
        """Export tasks."""
        return TaskRegistry(self.storage)

    @cached_property
    def export_tasks(self) -> ExportTasks:
        """Creates export tasks."""
        return ExportTasks(self.settings, self.config, self.storage, self.tasks)

    @cached_property
    def task_writer(self) -> TaskWriter:
        """Writes the files of export tasks."""
        return TaskWriter(self.settings, self.config, self.storage, self.tasks, self.steps)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read at the first call. Raises ConfigError."""
    return read_settings()


@lru_cache(maxsize=1)
def _read_config() -> tuple[ExportsConfig, bytes | None]:
    """The configuration, and the bytes of its file, None if there is none."""
    before = _config_bytes()
    return read_config(get_settings(), _root()), before


def get_config() -> ExportsConfig:
    """The process's configuration, read at the first call. Raises ConfigError."""
    return _read_config()[0]


def config_notes() -> list[str]:
    """Says so if the file of the configuration has changed since it was read: it counts after a restart."""
    try:
        if _config_bytes() != _read_config()[1]:
            name = config_path(get_settings(), _root()).name
            return [f"{name} has changed since the app started: restart the app, and it counts"]
    except ConfigError:
        pass  # The checks say it.
    return []


def _config_bytes() -> bytes | None:
    try:
        return config_path(get_settings(), _root()).read_bytes()
    except OSError:
        return None


def _root() -> str:
    return os.environ.get("AzureWebJobsScriptRoot", ".")  # noqa: SIM112 - the platform's spelling


@lru_cache(maxsize=1)
def get_storage() -> DataStorage:
    """The process's clients of the data account. Raises ConfigError."""
    return DataStorage(get_settings())


@lru_cache(maxsize=1)
def get_services() -> Services:
    """The process's services, made at the first call. Raises ConfigError."""
    return Services(get_settings(), get_config(), get_storage())
