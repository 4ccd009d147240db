"""Index of an app's tasks by number, so that any page takes two rows and one range of rows.

Azure Tables give rows by ascending key only, and know neither a count nor a row by its number. So beside
each task `(app, task id)` stands a row `(app, ~number)` with its id, numbered from 1 by creation without
gaps, and `(app, ~head)` has how many there are and the last id. All three are written in one transaction
(entity group transaction of one partition), which fails if the number is taken: a crash leaves none or all
of them, and ids ascend with the numbers on every instance, whatever its clock says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableTransactionError

if TYPE_CHECKING:
    from azure.data.tables import TableClient

_HEAD: Final = "~head"
END_OF_TASKS: Final = "~"
"""Greater than any task id, less than any key of the index."""


@dataclass(frozen=True)
class Head:
    """End of an app's index."""

    app: str
    count: int = 0
    last_id: str | None = None


class TaskIndex:
    """The index rows of `exporttasks`."""

    def __init__(self, table: TableClient) -> None:
        self._table = table

    def head(self, app: str) -> Head:
        """Number of tasks of the app."""
        try:
            row = self._table.get_entity(app, _HEAD)
        except ResourceNotFoundError:
            return Head(app)
        return Head(app, int(row["count"]), str(row["lastId"]))

    def append(self, head: Head, task: Mapping[str, Any]) -> bool:
        """Keeps a task's row as the one behind `head`; its id must be greater than the last one.

        Returns False if another call appended first: read the head again.
        """
        number = head.count + 1
        place = {"PartitionKey": head.app, "RowKey": _key(number), "taskId": task["RowKey"]}
        end = {"PartitionKey": head.app, "RowKey": _HEAD, "count": number, "lastId": task["RowKey"]}
        try:
            self._table.submit_transaction([("create", dict(task)), ("create", place), ("upsert", end)])
        except TableTransactionError as error:
            if error.status_code == 409:
                return False
            raise
        return True

    def id(self, app: str, number: int) -> str:
        """Id of the app's task of that number. Raises ResourceNotFoundError."""
        return str(self._table.get_entity(app, _key(number), select=["taskId"])["taskId"])


def numbers(count: int, skip: int, top: int, *, descending: bool) -> tuple[int, int]:
    """First and last number of a page, ascending; the last is less than the first for an empty page."""
    if descending:
        return max(count - skip - top + 1, 1), count - skip
    return skip + 1, min(skip + top, count)


def _key(number: int) -> str:
    return f"~{number:010d}"
