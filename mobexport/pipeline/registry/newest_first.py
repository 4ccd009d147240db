"""Copies of the exports' rows by time, newest first: the list reads these.

Azure Tables give rows by ascending key only. So beside each row `(exports, id)` stands a copy of it under
`(exports, ~{time until the year 5138}~{id})`. Row and copy are written in one transaction (entity group
transaction of one partition): a crash leaves both or none of them, and it is one call. A copy has no `open`,
so it is neither purged nor taken for an export with work left.

Rows that an earlier version wrote have no copy, or an old one; `mend` finds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables import TableTransactionError, UpdateMode

from mobexport.pipeline.registry.keys import FIRST, PARTITION, key_range, newest_key
from mobexport.redact import brief
from mobexport.telemetry.logs import get_logger

if TYPE_CHECKING:
    from azure.data.tables import TableClient

_log = get_logger(__name__)
_MENDED: Final = {"PartitionKey": PARTITION, "RowKey": "~~mended"}
"""Row that says: the rows of earlier versions have their copies."""
_AT_ONCE: Final = 1_000
"""Rows that one call of `mend` mends; each takes two calls."""


def create(table: TableClient, entity: dict[str, Any]) -> str | None:
    """Writes a new row with its copy; the row's ETag, or None if there is one of that id."""
    return _submit(table, [("create", entity), ("upsert", _copy(entity))], taken=409)


def replace(table: TableClient, entity: dict[str, Any], etag: str) -> str | None:
    """Writes a row over exactly that version of it, with its copy; its new ETag, or None if somebody else was
    faster."""
    condition = {"mode": UpdateMode.REPLACE, "etag": etag, "match_condition": MatchConditions.IfNotModified}
    return _submit(table, [("update", entity, condition), ("upsert", _copy(entity))], taken=412)


def delete(table: TableClient, entity: Mapping[str, Any], etag: str) -> bool:
    """Deletes exactly that version of a row, and its copy; False if it has changed or is gone."""
    condition = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
    row = {"PartitionKey": PARTITION, "RowKey": entity["RowKey"]}
    copy = {"PartitionKey": PARTITION, "RowKey": _key_of(entity)}
    # First the copy on its own, if there is none: a transaction fails with any of its parts.
    for operations in ([("delete", row, condition), ("delete", copy)], [("delete", row, condition)]):
        try:
            table.submit_transaction(operations)  # type: ignore[arg-type]
            return True
        except TableTransactionError as error:
            if error.status_code not in (404, 412):
                raise
            if error.status_code == 412:
                return False
    return False


def mend(table: TableClient, at_once: int = _AT_ONCE) -> int:
    """Copies rows without an up-to-date copy, and deletes copies without a row. Returns how many."""
    copies = {
        row["RowKey"]: row.get("updated_at")
        # Before the rows: a copy that is found had its row, unless that was deleted since.
        for row in table.query_entities(key_range(), select=["RowKey", "updated_at"])
    }
    mended = 0
    for row in _rows(table):
        if copies.pop(_key_of(row), "none") != row.get("updated_at"):
            if mended == at_once:
                return mended
            mended += _mend(table, row["RowKey"])
    for key in copies:
        table.delete_entity(PARTITION, key)
    return mended + len(copies)


def mend_once(table: TableClient) -> bool:
    """`mend`, until nothing is left to do; then a look at one row. Returns whether nothing is left."""
    try:
        table.get_entity(_MENDED["PartitionKey"], _MENDED["RowKey"])
        return True
    except ResourceNotFoundError:
        pass
    if mend(table) >= _AT_ONCE:
        return False
    table.upsert_entity(_MENDED)
    return True


def _rows(table: TableClient) -> Iterator[Mapping[str, Any]]:
    wanted = f"PartitionKey eq '{PARTITION}' and RowKey lt '{FIRST}'"
    yield from table.query_entities(wanted, select=["RowKey", "created_at", "updated_at"])


def _mend(table: TableClient, export_id: str) -> bool:
    try:
        found = table.get_entity(PARTITION, export_id)
    except ResourceNotFoundError:
        return False
    try:
        # Only over the version that was read: whoever wrote another one wrote its copy.
        return replace(table, dict(found), str(found.metadata["etag"])) is not None
    except HttpResponseError as error:
        # The others are mended all the same; this one is tried again by night.
        _log.error("export %s cannot be brought into the list: %s", export_id, brief(error, 300))
        return False


def _key_of(entity: Mapping[str, Any]) -> str:
    return newest_key(str(entity.get("created_at")), str(entity["RowKey"]))


def _copy(entity: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in entity.items() if name != "open"}, "RowKey": _key_of(entity)}


def _submit(table: TableClient, operations: list[Any], taken: int) -> str | None:
    try:
        return str(table.submit_transaction(operations)[0]["etag"])
    except HttpResponseError as error:
        if error.status_code == taken:
            return None
        raise
