"""Create export tasks, and end them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from mobexport import config, export_types
from mobexport.blob_paths import REJECTS_CONTAINER, raw_rejects_path, work_container
from mobexport.clock import now
from mobexport.container_url import ContainerUrl, check_configured_url
from mobexport.contract import (
    PARAMETERS,
    DateRangeExportTaskParameter,
    ExportTaskParameter,
    FeedbackByDateRangeParameter,
    not_come,
    parse,
)
from mobexport.errors import NotFound, Problem, RequestError, TooManyRequests, UnknownExportType
from mobexport.export_api.tasks.counts import why_empty
from mobexport.export_api.tasks.selection import Selection
from mobexport.export_api.tasks.task_details import details_of
from mobexport.export_api.tasks.task_registry import ExportTask, TaskRegistry
from mobexport.export_api.writer.raw_layout import RawLayout
from mobexport.settings import Settings
from mobexport.storage import DataStorage
from mobexport.wire import Outcome, TaskRef

# Seconds that a caller with too many tasks is asked to wait.
_BUSY_SECONDS = 60
# What is today for the caller may be tomorrow here for a moment.
_CLOCKS = timedelta(minutes=5)


class ExportTasks:
    """The two ends of tasks over one data account."""

    def __init__(
        self,
        settings: Settings,
        exports_config: config.ExportsConfig,
        storage: DataStorage,
        registry: TaskRegistry,
    ) -> None:
        self._settings = settings
        self._config = exports_config
        self._storage = storage
        self._registry = registry

    def check_app(self, app: str) -> None:
        """Raises NotFound for an app that is not configured (locally: that has no raw data)."""
        config.find_app(self._config, self._settings, app)
        container = self._settings.raw_container
        if app not in self._config.apps and not any(self._storage.list_blobs(container, f"{app}/")):
            raise NotFound(f"app {app!r} has no raw data in container {container!r}")

    def create(self, app: str, route: str, body: Any) -> ExportTask:
        """Keeps a new task, Queued.

        Raises NotFound (no such app or route), RequestError (every problem named) or TooManyRequests.
        """
        self.check_app(app)
        try:
            export_type, asked = export_types.route(route)
        except UnknownExportType as error:
            raise NotFound(error.message) from None
        parameters = parse(PARAMETERS[asked.parameters], body, self._check_url)
        self._check_end(parameters)
        if self._registry.unfinished(app, limit := self._settings.export_api_max_tasks) >= limit:
            raise TooManyRequests(
                f"app {app!r} has {limit} export tasks that have not ended; wait until some have",
                retry_after=_BUSY_SECONDS,
            )
        return self._registry.add(
            app,
            export_type.name,
            Selection.of(parameters),
            parameters.container_url,
            export_format=parameters.export_format,
            description=parameters.description,
        )

    def finish(self, ref: TaskRef, outcome: Outcome, task: ExportTask | None = None) -> str:
        """Ends the task by the outcome of its last step and removes what it left; its final state. `task`: as
        it was just written."""
        if outcome.failure is None:
            counts = outcome.value
            if counts.get("exported") == 0 and "empty" not in counts:
                found = task or self._registry.get(ref.app, ref.task_id)
                counts = {**counts, "empty": self._why_empty(found, counts)}
            details = details_of(counts, f"{REJECTS_CONTAINER}/{raw_rejects_path(ref)}")
            task = self._registry.succeed(ref.app, ref.task_id, counts, details, task)
        else:
            task = self._registry.fail(ref.app, ref.task_id, outcome.failure.message)
        self._storage.delete_container(work_container(ref.task_id))
        return str(task.state)

    def _why_empty(self, task: ExportTask, counts: Mapping[str, Any]) -> str:
        if counts.get("files"):
            return why_empty(counts)
        kind = export_types.get(task.export_type).kind
        mapping = self._config.apps.get(task.app, config.App()).raw.get(kind)
        layout = RawLayout(task.app, kind, mapping)
        container = layout.container(self._settings.raw_container)
        for folder in layout.folders:
            if not any(self._storage.list_blobs(container, folder)):
                return f"there is no folder {container}/{folder}"
        return why_empty(counts) + ("" if layout.is_usual else f" that fits {layout.pattern}")

    def _check_end(self, parameters: ExportTaskParameter) -> None:
        """Raises RequestError for a window whose end has not come."""
        today = (now() + _CLOCKS).date()
        if isinstance(parameters, DateRangeExportTaskParameter):
            name, day = "endDate", parameters.end_date
        elif isinstance(parameters, FeedbackByDateRangeParameter):
            name, day = "campaignWindowEnd", parameters.campaign_window_end.date()
        else:
            return
        if problem := not_come(day, today):
            raise RequestError.of([Problem(name, problem)])

    def _check_url(self, url: str) -> ContainerUrl:
        return check_configured_url(url, self._settings, self._config, self._storage.blobs.url, now())
