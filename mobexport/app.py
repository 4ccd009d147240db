"""Puts the domain together from the process's settings, for activities and triggers.

Imported inside functions only: it brings the storage SDK, pydantic and requests with it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NoReturn

from mobexport.clock import now
from mobexport.config import get_config
from mobexport.errors import DataError, Unavailable
from mobexport.export_api.authentication import check_caller
from mobexport.export_api.tasks import ExportTasks
from mobexport.pipeline.collecting import Collector
from mobexport.pipeline.delivering import Deliverer
from mobexport.pipeline.export_api_client import ExportApiClient
from mobexport.pipeline.export_row import ExportRow
from mobexport.pipeline.finishing import Finisher
from mobexport.pipeline.poll_policy import PollPolicy
from mobexport.pipeline.processing import Processor
from mobexport.pipeline.registry import Registry
from mobexport.pipeline.requests import parse_request
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


def collector() -> Collector:
    """The pipeline's steps up to the collected files."""
    return Collector(registry(), ExportApiClient(get_settings(), get_config().source), get_storage())


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
    if get_settings().role == "export-api":
        raise Unavailable("ROLE is 'export-api': this app does not run the pipeline")
    request, rerun = parse_request(body, get_config(), get_settings(), now())
    return registry().request(request, rerun=rerun)


def run_input(row: ExportRow) -> dict[str, Any]:
    """Input of `run_export`: a snapshot of the settings, so that a running export never sees a change."""
    settings = get_settings()
    policy = PollPolicy(
        first=settings.poll_first_seconds,
        most=settings.poll_max_seconds,
        queue_deadline=settings.queue_deadline.total_seconds(),
        run_deadline=settings.run_deadline.total_seconds(),
        total_deadline=settings.total_deadline.total_seconds(),
    )
    return {
        "version": 1,
        "exportId": row.id,
        "attempt": row.attempt,
        "policy": policy.to_json(),
        "graceSeconds": settings.trigger_grace_seconds,
    }


def processing_done(export_id: str, attempt: int) -> bool:
    """Whether the attempt is processed. Raises the error that processing gave up with."""
    row = registry().attempt(export_id, attempt)
    if row.processing_error:
        raise DataError(str(row.processing_error["message"]), code=str(row.processing_error["code"]))
    return row.manifest is not None or row.state.terminal


def raise_processing_crashed(instance: str, state: str) -> NoReturn:
    """Raises DataError that names the instance to look at."""
    raise DataError(f"processing crashed again and again ({state}); see instance {instance}", code="Crashed")


def keep_processed(export_id: str, attempt: int, outcome: dict[str, Any]) -> None:
    """Keeps why processing failed, if it did; a commit keeps itself."""
    if "error" in outcome:
        processor().give_up(export_id, attempt, outcome["error"])
