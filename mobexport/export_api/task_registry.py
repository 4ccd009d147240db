"""Export tasks as rows of an Azure Table, and their container URLs as rows of another.

The row is the task: list, paging and restarts work from it. The container URL is kept apart, in a table
that is never listed, and deleted when the task ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from mobexport.clock import stamp
from mobexport.contract import ExportTaskResult, ListOptions, TaskState
from mobexport.errors import NotFound
from mobexport.storage import SECRETS_TABLE, TASKS_TABLE, DataStorage, replace_row

_NEXT = {
    TaskState.QUEUED: {TaskState.STARTED, TaskState.FAILED},
    TaskState.STARTED: {TaskState.STARTED, TaskState.SUCCEEDED, TaskState.FAILED},
    TaskState.SUCCEEDED: set[TaskState](),
    TaskState.FAILED: set[TaskState](),
}
# A table cell holds 64 KiB of UTF-16; error texts are cut well before.
_MAX_TEXT = 4000


@dataclass(frozen=True)
class ExportTask:
    """One export task; times are RFC 3339 in UTC."""

    app: str
    id: str
    export_type: str
    state: TaskState
    date_created: str
    window: tuple[date, date] | None = None
    description: str | None = None
    date_started: str | None = None
    date_completed: str | None = None
    error_details: str | None = None
    counts: Mapping[str, Any] | None = None
    etag: str = ""

    def to_result(self) -> ExportTaskResult:
        """The task as the API shows it."""
        return ExportTaskResult(
            id=self.id,
            description=self.description,
            state=self.state,
            date_created=self.date_created,
            date_completed=self.date_completed,
            export_type=self.export_type,
            error_details=self.error_details,
        )


class TaskRegistry:
    """Rows `(app, task id)` of `exporttasks` and `secrets`."""

    def __init__(self, storage: DataStorage) -> None:
        self._tasks = storage.table(TASKS_TABLE)
        self._secrets = storage.table(SECRETS_TABLE)

    def add(self, task: ExportTask, container_url: str) -> None:
        """Keeps a new task; its container URL first, so that no task is without one."""
        self._secrets.create_entity(
            {"PartitionKey": task.app, "RowKey": task.id, "containerUrl": container_url}
        )
        self._tasks.create_entity(_to_entity(task))

    def get(self, app: str, task_id: str) -> ExportTask:
        """Raises NotFound."""
        try:
            return _from_entity(self._tasks.get_entity(app, task_id))
        except ResourceNotFoundError:
            raise NotFound(f"app {app!r} has no export task {task_id!r}") from None

    def page(self, app: str, options: ListOptions) -> tuple[list[ExportTask], bool]:
        """One page of an app's tasks, and whether more follow it."""
        rows = [
            _from_entity(row)
            for row in self._tasks.query_entities("PartitionKey eq @app", parameters={"app": app})
        ]
        keys = {
            "taskId": lambda task: task.id,
            "dateCreated": lambda task: (task.date_created, task.id),
            "taskStatus": lambda task: (task.state, task.id),
            "errorDetails": lambda task: (task.error_details or "", task.id),
        }
        rows.sort(key=keys[options.order_by], reverse=options.descending)
        end = options.skip + options.top
        return rows[options.skip : end], end < len(rows)

    def container_url(self, app: str, task_id: str) -> str | None:
        """The secret of a task that has not ended, else None."""
        try:
            return str(self._secrets.get_entity(app, task_id)["containerUrl"])
        except ResourceNotFoundError:
            return None

    def move(self, app: str, task_id: str, state: TaskState, **fields: Any) -> ExportTask:
        """Moves a task on; a state that cannot follow leaves the row as it is.

        `fields` are attributes of ExportTask. When the task ends its container URL is deleted, also
        if the row had ended before: the step may be a repetition after a crash.
        """
        while True:
            task = self.get(app, task_id)
            if state in _NEXT[task.state]:
                moved = replace(task, state=state, **fields)
                if not replace_row(self._tasks, _to_entity(moved), task.etag):
                    continue
                task = moved
            if not _NEXT[task.state]:
                self._secrets.delete_entity(app, task_id)
            return task

    def start(self, app: str, task_id: str) -> ExportTask:
        """Moves the task to Started."""
        return self.move(app, task_id, TaskState.STARTED, date_started=stamp())

    def succeed(self, app: str, task_id: str, counts: Mapping[str, Any], details: str | None) -> ExportTask:
        """Ends the task well; `details` says how many raw records were rejected."""
        return self.move(
            app, task_id, TaskState.SUCCEEDED, date_completed=stamp(), counts=counts, error_details=details
        )

    def fail(self, app: str, task_id: str, reason: str) -> ExportTask:
        """Ends the task with a reason for the person who asked for it."""
        return self.move(
            app, task_id, TaskState.FAILED, date_completed=stamp(), error_details=reason[:_MAX_TEXT]
        )


def _to_entity(task: ExportTask) -> dict[str, Any]:
    entity = {
        "PartitionKey": task.app,
        "RowKey": task.id,
        "exportType": task.export_type,
        "state": str(task.state),
        "dateCreated": task.date_created,
        "dateStarted": task.date_started,
        "dateCompleted": task.date_completed,
        "description": task.description,
        "errorDetails": task.error_details,
        "startDate": task.window[0].isoformat() if task.window else None,
        "endDate": task.window[1].isoformat() if task.window else None,
        "counts": None if task.counts is None else json.dumps(dict(task.counts)),
    }
    return {name: value for name, value in entity.items() if value is not None}


def _from_entity(row: Mapping[str, Any]) -> ExportTask:
    start, end, counts = row.get("startDate"), row.get("endDate"), row.get("counts")
    return ExportTask(
        app=str(row["PartitionKey"]),
        id=str(row["RowKey"]),
        export_type=str(row["exportType"]),
        state=TaskState(str(row["state"])),
        date_created=str(row["dateCreated"]),
        date_started=row.get("dateStarted"),
        date_completed=row.get("dateCompleted"),
        window=(date.fromisoformat(str(start)), date.fromisoformat(str(end))) if start and end else None,
        description=row.get("description"),
        error_details=row.get("errorDetails"),
        counts=json.loads(str(counts)) if counts else None,
        etag=str(getattr(row, "metadata", {}).get("etag", "")),
    )
