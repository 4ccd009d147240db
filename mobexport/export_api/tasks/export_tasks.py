"""What the Export API does with a task: create, plan, write the file, finish.

The steps of `serve_export_task`; each can be repeated at any time, also while an earlier attempt of the
same step is still running.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mobexport import config, export_types
from mobexport.clock import now
from mobexport.container_url import ContainerUrl, check_configured_url
from mobexport.contract import PARAMETERS, TaskState, parse
from mobexport.errors import NotFound, TooManyRequests, UnknownExportType
from mobexport.export_api.tasks.selection import Selection
from mobexport.export_api.tasks.task_registry import ExportTask, TaskRegistry
from mobexport.export_api.writer.raw_store import has_raw_data
from mobexport.export_api.writer.steps import NO_PLAN, TaskWriter, work_container
from mobexport.settings import Settings
from mobexport.storage import DataStorage

# Seconds that a caller with too many tasks is asked to wait.
_BUSY_SECONDS = 60


class ExportTasks:
    """The server half over one data account."""

    def __init__(
        self, settings: Settings, exports_config: config.ExportsConfig, storage: DataStorage
    ) -> None:
        self._settings = settings
        self._config = exports_config
        self._storage = storage
        self.registry = TaskRegistry(storage)
        self._writer = TaskWriter(settings, storage, self.registry, self._check_url)

    def check_app(self, app: str) -> None:
        """Raises NotFound for an app that is not configured (locally: that has no raw data)."""
        config.find_app(self._config, self._settings, app)
        if app not in self._config.apps and not has_raw_data(
            self._storage, self._settings.raw_container, app
        ):
            raise NotFound(f"app {app!r} has no raw data in container {self._settings.raw_container!r}")

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
        if self.registry.unfinished(app, limit := self._settings.export_api_max_tasks) >= limit:
            raise TooManyRequests(
                f"app {app!r} has {limit} export tasks that have not ended; wait until some have",
                retry_after=_BUSY_SECONDS,
            )
        return self.registry.add(
            app,
            export_type.name,
            Selection.of(parameters),
            parameters.container_url,
            export_format=parameters.export_format,
            description=parameters.description,
        )

    def plan(self, app: str, task_id: str) -> dict[str, Any]:
        """Fixes the input of a task; a repetition finds the plan of the first time."""
        task = self.registry.start(app, task_id)
        if task.state is not TaskState.STARTED:
            return NO_PLAN
        return self._writer.plan(task)

    def write(self, app: str, task_id: str) -> dict[str, Any]:
        """Writes the file of a small task, whole or not at all; the counts of section 3."""
        return self._step(app, task_id, self._writer.write_file)

    def partition(self, app: str, task_id: str, number: int) -> dict[str, Any]:
        """Reads a slice of a large task."""
        return self._step(app, task_id, partial(self._writer.partition_slice, number=number))

    def write_bucket(self, app: str, task_id: str, bucket: int) -> dict[str, Any]:
        """Stages a bucket of a large task."""
        return self._step(app, task_id, partial(self._writer.write_bucket, bucket=bucket))

    def commit(self, app: str, task_id: str) -> dict[str, Any]:
        """Makes the file of a large task appear; the counts of section 3."""
        return self._step(app, task_id, self._writer.commit_file)

    def _step(self, app: str, task_id: str, step: Callable[[ExportTask], dict[str, Any]]) -> dict[str, Any]:
        task = self.registry.get(app, task_id)
        if task.state is not TaskState.STARTED:
            # A repetition after the task had ended: the container URL is gone, and so is the need.
            return dict(task.counts or {})
        return step(task)

    def finish(self, app: str, task_id: str, outcome: Mapping[str, Any]) -> str:
        """Ends the task by the outcome of its last step and removes what it left; its final state."""
        if "ok" in outcome:
            counts = outcome["ok"]
            rejected = counts.get("rejected", 0)
            details = f"{rejected} raw records rejected, see rejects/raw/{app}/{task_id}.ndjson"
            task = self.registry.succeed(app, task_id, counts, details if rejected else None)
        else:
            task = self.registry.fail(app, task_id, str(outcome["error"]["message"]))
        self._storage.delete_container(work_container(task_id))
        return str(task.state)

    def _check_url(self, url: str) -> ContainerUrl:
        return check_configured_url(url, self._settings, self._config, self._storage.blobs.url, now())
