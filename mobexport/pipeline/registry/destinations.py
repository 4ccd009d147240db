"""Container URLs given by users, for exports that end as Delivered: secrets, kept while an attempt runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from mobexport.errors import DestinationGone
from mobexport.storage import SECRETS_TABLE, DataStorage
from mobexport.wire import AttemptRef

if TYPE_CHECKING:
    from azure.data.tables import TableClient

# No name of an app: the other rows of the table are by app.
_PARTITION: Final = "~destinations"


class Destinations:
    """Rows of the table `secrets`, one for each attempt; secrets are never listed."""

    def __init__(self, storage: DataStorage) -> None:
        self._storage = storage

    @property
    def _table(self) -> TableClient:
        return self._storage.table(SECRETS_TABLE)

    def keep(self, ref: AttemptRef, url: str) -> None:
        """Keeps the URL for the attempt, unless there is one."""
        entity: dict[str, Any] = {"PartitionKey": _PARTITION, "RowKey": str(ref), "url": url}
        try:
            self._table.create_entity(entity)
        except ResourceExistsError:
            return

    def get(self, ref: AttemptRef) -> str:
        """Raises DestinationGone."""
        try:
            return str(self._table.get_entity(_PARTITION, str(ref))["url"])
        except ResourceNotFoundError:
            raise DestinationGone(
                f"the containerUrl of export {ref.export_id!r} is gone; make the request again"
            ) from None

    def delete(self, ref: AttemptRef) -> None:
        """Deletes the URL; nothing if it is gone already."""
        try:
            self._table.delete_entity(_PARTITION, str(ref))
        except ResourceNotFoundError:
            return
