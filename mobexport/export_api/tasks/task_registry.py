"""Export tasks as rows of an Azure Table, and their container URLs as rows of another.

The row is the task: list, paging and restarts work from it. The container URL is kept apart, in a table
that no call shows, and deleted when the task ends.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ResourceNotFoundError

from mobexport.blob_paths import REJECTS_CONTAINER, raw_rejects_path
from mobexport.clock import now, stamp
from mobexport.config import APP_NAME
from mobexport.contract import ExportTaskResult, ListOptions, RecordCounts, TaskState
from mobexport.errors import NotFound, Throttled, UnreadableRow
from mobexport.export_api.tasks.selection import EVERYTHING, Selection
from mobexport.export_api.tasks.task_index import END_OF_TASKS, TaskIndex, numbers
from mobexport.ids import created_at, is_task_id, new_task_id
from mobexport.storage import SECRETS_TABLE, TASKS_TABLE, DataStorage, replace_row
from mobexport.telemetry.logs import get_logger
from mobexport.wire import TaskRef

if TYPE_CHECKING:
    from azure.data.tables import TableClient

_log = get_logger(__name__)

_NEXT = {
    TaskState.QUEUED: {TaskState.STARTED, TaskState.FAILED},
    TaskState.STARTED: {TaskState.STARTED, TaskState.SUCCEEDED, TaskState.FAILED},
    TaskState.SUCCEEDED: set[TaskState](),
    TaskState.FAILED: set[TaskState](),
}
_BY_CREATION = ("taskId", "dateCreated")
_CELLS = {"taskStatus": "state", "errorDetails": "errorDetails"}
# A table cell holds 64 KiB of UTF-16; error texts are cut well before.
_MAX_TEXT = 4000
_TRIES = 50
# A container URL older than this without a task was left by a crash just before its task was kept.
_ORPHANED = timedelta(hours=1)


@dataclass(frozen=True)
class ExportTask:
    """One export task; times are RFC 3339 in UTC."""

    app: str
    id: str
    export_type: str
    state: TaskState
    date_created: str
    """The instant in the id, so that tasks have one order by both."""
    selection: Selection = EVERYTHING
    export_format: str = "JsonBlob"
    description: str | None = None
    date_started: str | None = None
    date_completed: str | None = None
    error_details: str | None = None
    counts: Mapping[str, Any] | None = None
    restarts: int = 0
    """Orchestrations of this task that the platform lost and that were started again."""
    etag: str = ""

    @property
    def ref(self) -> TaskRef:
        """The key of the task."""
        return TaskRef(self.app, self.id)

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
            counts=_shown_counts(self.counts, f"{REJECTS_CONTAINER}/{raw_rejects_path(self.ref)}"),
        )


class TaskRegistry:
    """Rows `(app, task id)` of `exporttasks` and `secrets`."""

    def __init__(self, storage: DataStorage) -> None:
        self._storage = storage

    @property
    def _tasks(self) -> TableClient:
        # Each time: somebody may have deleted it.
        return self._storage.table(TASKS_TABLE)

    @property
    def _secrets(self) -> TableClient:
        return self._storage.table(SECRETS_TABLE)

    @property
    def _index(self) -> TaskIndex:
        return TaskIndex(self._tasks)

    def add(
        self,
        app: str,
        export_type: str,
        selection: Selection,
        container_url: str,
        *,
        export_format: str = "JsonBlob",
        description: str | None = None,
    ) -> ExportTask:
        """Keeps a new task, Queued; its container URL first, so that no task is without one."""
        for _ in range(_TRIES):
            head = self._index.head(app)
            task_id = new_task_id(after=head.last_id)
            task = ExportTask(
                app=app,
                id=task_id,
                export_type=export_type,
                state=TaskState.QUEUED,
                date_created=stamp(created_at(task_id)),
                selection=selection,
                export_format=export_format,
                description=description,
            )
            self._secrets.create_entity(
                {"PartitionKey": app, "RowKey": task_id, "containerUrl": container_url}
            )
            if self._index.append(head, _to_entity(task)):
                return task
            self._secrets.delete_entity(app, task_id)
        raise Throttled(f"too many tasks of app {app!r} are created at once; try again", retry_after=1)

    def get(self, app: str, task_id: str) -> ExportTask:
        """Raises NotFound."""
        try:
            if is_task_id(task_id) and APP_NAME.fullmatch(app):
                return _from_entity(self._tasks.get_entity(app, task_id))
        except ResourceNotFoundError:
            pass
        raise NotFound(f"app {app[:64]!r} has no export task {task_id[:64]!r}")

    def page(self, app: str, options: ListOptions) -> tuple[list[ExportTask], bool]:
        """One page of an app's tasks, and whether more follow it.

        By taskId or dateCreated (one order) it costs the same wherever it is; by the other fields every
        task of the app is looked at, of which at most `skip + top` keys are in memory at once.
        """
        count = self._index.head(app).count
        more = options.skip + options.top < count
        if options.skip >= count:
            return [], False
        if options.order_by in _BY_CREATION:
            first, last = numbers(count, options.skip, options.top, descending=options.descending)
            # Ids ascend with the numbers, so a page lies in one piece behind its first task.
            behind = self._tasks.query_entities(
                "PartitionKey eq @app and RowKey ge @first and RowKey lt @end",
                parameters={"app": app, "first": self._index.id(app, first), "end": END_OF_TASKS},
                results_per_page=last - first + 1,
            )
            found = list(_readable(islice(behind, last - first + 1)))
            return found[::-1] if options.descending else found, more
        cell = _CELLS[options.order_by]
        rows = self._tasks.query_entities(
            "PartitionKey eq @app and RowKey lt @end",
            parameters={"app": app, "end": END_OF_TASKS},
            select=["RowKey", cell],
        )
        keys = ((str(row.get(cell) or ""), str(row["RowKey"])) for row in rows)
        pick: Callable[..., list[tuple[str, str]]] = heapq.nlargest if options.descending else heapq.nsmallest
        chosen = pick(options.skip + options.top, keys)[options.skip :]
        return list(_readable(self._tasks.get_entity(app, task_id) for _, task_id in chosen)), more

    def unfinished(self, app: str, limit: int) -> int:
        """Number of the app's tasks that have not ended, counted up to `limit`.

        Also removes container URLs whose task was never kept.
        """
        rows = self._secrets.query_entities(
            "PartitionKey eq @app", parameters={"app": app}, select=["RowKey"], results_per_page=limit
        )
        found = 0
        for task_id in (str(row["RowKey"]) for row in rows):
            if created_at(task_id) < now() - _ORPHANED and not self._exists(app, task_id):
                self._secrets.delete_entity(app, task_id)
                continue
            found += 1
            if found >= limit:
                break
        return found

    def unended(self, before: datetime) -> Iterator[ExportTask]:
        """Tasks of every app that were created before that time and have not ended, or not to the last step.

        Their container URL is still there.
        """
        for row in self._secrets.list_entities(select=["PartitionKey", "RowKey"]):
            task_id = str(row["RowKey"])
            if is_task_id(task_id) and created_at(task_id) < before:
                with suppress(NotFound, UnreadableRow):
                    yield self.get(str(row["PartitionKey"]), task_id)

    def _exists(self, app: str, task_id: str) -> bool:
        try:
            self.get(app, task_id)
        except NotFound:
            return False
        return True

    def container_url(self, app: str, task_id: str) -> str | None:
        """The secret of a task that has not ended, else None."""
        try:
            return str(self._secrets.get_entity(app, task_id)["containerUrl"])
        except ResourceNotFoundError:
            return None

    def move(
        self, app: str, task_id: str, state: TaskState, known: ExportTask | None = None, **fields: Any
    ) -> ExportTask:
        """Moves a task on; a state that cannot follow leaves the row as it is.

        `known` is the task as just written, `fields` are attributes of ExportTask. When the task ends its
        container URL is deleted, also if the row had ended before: the step may be a repetition.
        """
        while True:
            task, known = known or self.get(app, task_id), None
            if state in _NEXT[task.state]:
                moved = replace(task, state=state, **fields)
                etag = replace_row(self._tasks, _to_entity(moved), task.etag)
                if etag is None:
                    continue
                task = replace(moved, etag=etag)
            if not _NEXT[task.state]:
                self._secrets.delete_entity(app, task_id)
            return task

    def count_restart(self, ref: TaskRef) -> ExportTask | None:
        """Counts an orchestration of the task that was lost; None if the task has ended, to its last step."""
        while True:
            task = self.get(ref.app, ref.task_id)
            if not _NEXT[task.state] and self.container_url(ref.app, ref.task_id) is None:
                return None
            counted = replace(task, restarts=task.restarts + 1)
            if replace_row(self._tasks, _to_entity(counted), task.etag):
                return counted

    def start(self, app: str, task_id: str) -> ExportTask:
        """Moves the task to Started."""
        return self.move(app, task_id, TaskState.STARTED, date_started=stamp())

    def succeed(
        self,
        app: str,
        task_id: str,
        counts: Mapping[str, Any],
        details: str | None,
        known: ExportTask | None = None,
    ) -> ExportTask:
        """Ends the task well; `details` says how many raw records were rejected."""
        return self.move(
            app,
            task_id,
            TaskState.SUCCEEDED,
            known,
            date_completed=stamp(),
            counts=counts,
            error_details=details,
        )

    def fail(self, app: str, task_id: str, reason: str) -> ExportTask:
        """Ends the task with a reason for the person who asked for it."""
        return self.move(
            app, task_id, TaskState.FAILED, date_completed=stamp(), error_details=reason[:_MAX_TEXT]
        )


def _shown_counts(counts: Mapping[str, Any] | None, rejects: str) -> RecordCounts | None:
    """The counts that are kept with a task, as its status tells them; `rejects` is where rejects are.

    None of a task that has not ended well, or that an earlier version of the app kept without them.
    """
    if not counts or "read" not in counts:
        return None
    return RecordCounts(
        **{name: counts[name] for name in ("read", "rejected", "superseded", "removed", "exported")},
        outside=counts["outsideWindow"],
        files=counts.get("files"),
        ignored_files=counts.get("ignoredFiles"),
        days_read=counts.get("daysRead"),
        late_filed=counts.get("lateFiled", 0) if "daysRead" in counts else None,
        rules=counts.get("rules", {}),
        rejects=rejects if counts["rejected"] else None,
        empty=counts.get("empty"),
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
        "exportFormat": task.export_format,
        "selection": json.dumps(task.selection.to_json()),
        "counts": None if task.counts is None else json.dumps(dict(task.counts), ensure_ascii=False),
        "restarts": task.restarts or None,
    }
    return {name: value for name, value in entity.items() if value is not None}


def _readable(rows: Iterable[Mapping[str, Any]]) -> Iterator[ExportTask]:
    """The tasks; one whose row cannot be read is logged and left out: the others go on."""
    for row in rows:
        try:
            yield _from_entity(row)
        except UnreadableRow as error:
            _log.error("%s", error.message)


def _from_entity(row: Mapping[str, Any]) -> ExportTask:
    """Raises UnreadableRow."""
    try:
        return _read(row)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableRow(TASKS_TABLE, str(row.get("RowKey")), error) from None


def _read(row: Mapping[str, Any]) -> ExportTask:
    counts = row.get("counts")
    return ExportTask(
        app=str(row["PartitionKey"]),
        id=str(row["RowKey"]),
        export_type=str(row["exportType"]),
        state=TaskState(str(row["state"])),
        date_created=str(row["dateCreated"]),
        date_started=row.get("dateStarted"),
        date_completed=row.get("dateCompleted"),
        selection=Selection.from_json(json.loads(str(row["selection"]))),
        export_format=str(row["exportFormat"]),
        description=row.get("description"),
        error_details=row.get("errorDetails"),
        counts=json.loads(str(counts)) if counts else None,
        restarts=int(row.get("restarts") or 0),
        etag=str(getattr(row, "metadata", {}).get("etag", "")),
    )
