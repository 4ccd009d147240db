"""Puts the domain together from the process's settings, for activities and triggers.

Imported inside functions only: it brings the storage SDK, pydantic and requests with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NoReturn
from urllib.parse import urlsplit

from mobexport.clock import now
from mobexport.config import App, find_endpoint, get_config
from mobexport.errors import DataError, Unavailable
from mobexport.export_api.auth.authentication import check_caller
from mobexport.export_api.tasks.export_tasks import ExportTasks
from mobexport.pipeline.collect.collector import Collector
from mobexport.pipeline.finishing import Finisher
from mobexport.pipeline.jobs.export_api_client import ExportApiClient
from mobexport.pipeline.jobs.poll_policy import PollPolicy
from mobexport.pipeline.notify.delivery import Deliverer
from mobexport.pipeline.process.processor import Processor
from mobexport.pipeline.purging import Purger
from mobexport.pipeline.reconciling import Reconciler
from mobexport.pipeline.registry.destinations import Destinations
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.registry.states import State
from mobexport.pipeline.requests.batch_parsing import parse_batch
from mobexport.pipeline.requests.batches import Batch, Batches
from mobexport.pipeline.requests.export_list import parse_list_query
from mobexport.pipeline.requests.request_parsing import parse_request
from mobexport.pipeline.requests.scheduling import Scheduler
from mobexport.settings import get_settings
from mobexport.storage import get_storage


@lru_cache(maxsize=1)
def registry() -> Registry:
    """The registry of exports."""
    return Registry(get_storage())


@lru_cache(maxsize=1)
def export_tasks() -> ExportTasks:
    """The server half."""
    return ExportTasks(get_settings(), get_config(), get_storage())


def admit_caller(authorization: str | None, app: str) -> None:
    """Returns if that caller of the Export API may export that app. Raises what says why not."""
    check_caller(get_settings(), get_config(), authorization, app)


def collector(export_id: str) -> Collector:
    """The pipeline's steps up to the collected files, over the Export API of that export's app."""
    endpoint = find_endpoint(get_config(), get_settings(), registry().get(export_id).request.app)
    return Collector(registry(), ExportApiClient(endpoint), get_storage())


def processor() -> Processor:
    """The pipeline's steps from the collected files on."""
    return Processor(registry(), get_storage(), get_settings())


def finisher() -> Finisher:
    """The end of attempts."""
    return Finisher(registry(), get_storage(), processor())


def deliverer() -> Deliverer:
    """Notifications."""
    return Deliverer(registry(), get_storage(), get_config)


def request_export(body: Any) -> tuple[ExportRow, bool]:
    """The export of a request body, and whether this call began an attempt. Raises RequestError."""
    check_pipeline_role()
    storage = get_storage()
    host = urlsplit(storage.blobs.url).netloc.lower()
    asked = parse_request(body, get_config(), get_settings(), now(), host)
    row, began = registry().request(asked.request, rerun=asked.rerun)
    if asked.container_url is not None and row.state is State.REQUESTED:
        # Also for a request that found it: the call that made the row may have died before this line.
        Destinations(storage).keep(row.id, row.attempt, asked.container_url)
    return row, began


def check_pipeline_role() -> None:
    """Raises Unavailable in an app that only serves the Export API."""
    if not runs_pipeline():
        raise Unavailable("ROLE is 'export-api': this app does not run the pipeline")


def list_exports(query: Mapping[str, str]) -> tuple[list[ExportRow], str | None]:
    """A page of exports, and how to go on. Raises RequestError."""
    return registry().page(parse_list_query(query))


def batches() -> Batches:
    """Batches of exports."""
    return Batches(get_storage(), registry())


def request_batch(body: Any) -> tuple[Batch, bool]:
    """The batch of a request body, and whether this call began it. Raises RequestError."""
    check_pipeline_role()
    return batches().add(parse_batch(body, get_config(), get_settings(), now()))


def runs_pipeline() -> bool:
    """Whether this app runs the pipeline."""
    return get_settings().role != "export-api"


def serves_export_api() -> bool:
    """Whether this app serves the Export API."""
    return get_settings().role != "pipeline"


def history_days() -> int:
    """Days for which Durable's history is kept."""
    return get_settings().history_days


def scheduler() -> Scheduler:
    """The schedules of exports.toml."""
    return Scheduler(get_config(), get_settings(), get_storage(), batches())


def reconciler() -> Reconciler:
    """What was left undone."""
    hours = get_settings().late_file_hours
    return Reconciler(
        registry(), get_storage(), finisher(), lambda export_id: collector(export_id).source, hours
    )


def purger() -> Purger:
    """What may go."""
    return Purger(registry(), get_storage(), get_settings())


def run_input(row: ExportRow) -> dict[str, Any]:
    """Input of `run_export`: a snapshot of the settings, so that a running export never sees a change."""
    settings, own = get_settings(), get_config().apps.get(row.request.app, App())
    policy = PollPolicy(
        first=settings.poll_first_seconds,
        most=settings.poll_max_seconds,
        queue_deadline=(own.queue_deadline or settings.queue_deadline).total_seconds(),
        run_deadline=(own.run_deadline or settings.run_deadline).total_seconds(),
        total_deadline=(own.total_deadline or settings.total_deadline).total_seconds(),
    )
    return {
        "version": 1,
        "exportId": row.id,
        "attempt": row.attempt,
        "policy": policy.to_json(),
        "graceSeconds": settings.trigger_grace_seconds,
        "trace": row.trace,
    }


def processing_done(export_id: str, attempt: int) -> bool:
    """Whether the attempt is processed. Raises the error that processing gave up with."""
    row = registry().attempt(export_id, attempt)
    if row.processing_error:
        raise DataError(str(row.processing_error["message"]), code=str(row.processing_error["code"]))
    return row.manifest is not None or row.state.terminal


def raise_processing_crashed(instance: str) -> NoReturn:
    """Raises DataError that names the instance to look at."""
    raise DataError(f"processing crashed again and again; see instance {instance}", code="Crashed")


def keep_processed(export_id: str, attempt: int, outcome: dict[str, Any]) -> None:
    """Keeps why processing failed, if it did; a commit keeps itself."""
    if "error" in outcome:
        processor().give_up(export_id, attempt, outcome["error"])
