"""Signed calls that were admitted, by their id: each is admitted once.

A row of a table, so that it holds on every instance; a signature older than the tolerance admits nobody any
more, and the purge deletes its row. Only who has the secret can make rows.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any, Final

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from mobexport.clock import now, stamp
from mobexport.errors import Conflict
from mobexport.standard_webhooks import TOLERANCE_SECONDS
from mobexport.storage import SIGNED_CALLS_TABLE, DataStorage

_PARTITION: Final = "calls"
# A call may be signed so far ahead of our time, and is good for as long after its own.
_KEPT: Final = timedelta(seconds=2 * TOLERANCE_SECONDS)


class SignedCalls:
    """Rows of the table `signedcalls`."""

    def __init__(self, storage: DataStorage) -> None:
        self._storage = storage

    @property
    def _table(self) -> Any:
        return self._storage.table(SIGNED_CALLS_TABLE)

    def admit(self, message_id: str) -> None:
        """Raises Conflict for a message that was admitted before."""
        # An id is any text, a key is not.
        key = hashlib.sha256(message_id.encode("utf-8", "surrogatepass")).hexdigest()
        try:
            self._table.create_entity({"PartitionKey": _PARTITION, "RowKey": key, "at": stamp()})
        except ResourceExistsError:
            raise Conflict(
                "a call with this webhook-id was admitted before: sign each call, also a repeated one,"
                " with an id of its own",
                code="Replayed",
            ) from None

    def purge(self, at: datetime | None = None) -> int:
        """Deletes the rows of signatures that have expired; their number."""
        before = stamp((at or now()) - _KEPT)
        found = self._table.query_entities(
            f"PartitionKey eq '{_PARTITION}' and at lt @before", parameters={"before": before}
        )
        count = 0
        for entity in found:
            try:
                self._table.delete_entity(entity)
            except ResourceNotFoundError:
                continue
            count += 1
        return count
