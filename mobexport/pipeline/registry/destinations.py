"""Container URLs of users' own, for exports that end as Delivered: secrets, kept while an attempt runs."""

from __future__ import annotations

from typing import Any, Final

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from mobexport.errors import MobexportError
from mobexport.storage import SECRETS_TABLE, DataStorage

# No name of an app: the other rows of the table are by app.
_PARTITION: Final = "~destinations"


class DestinationGone(MobexportError):
    """The attempt's container URL is not there (any more); the request has to be made again."""

    code = "ContainerUrlGone"
    kind = "request"


class Destinations:
    """Rows of the table `secrets`, of which no secret is ever listed; one an attempt."""

    def __init__(self, storage: DataStorage) -> None:
        self._table = storage.table(SECRETS_TABLE)

    def keep(self, export_id: str, attempt: int, url: str) -> None:
        """Keeps the URL for the attempt, unless there is one."""
        entity: dict[str, Any] = {"PartitionKey": _PARTITION, "RowKey": f"{export_id}.{attempt}", "url": url}
        try:
            self._table.create_entity(entity)
        except ResourceExistsError:
            return

    def get(self, export_id: str, attempt: int) -> str:
        """Raises DestinationGone."""
        try:
            return str(self._table.get_entity(_PARTITION, f"{export_id}.{attempt}")["url"])
        except ResourceNotFoundError:
            raise DestinationGone(
                f"the containerUrl of export {export_id!r} is gone; make the request again"
            ) from None

    def delete(self, export_id: str, attempt: int) -> None:
        """Deletes the URL; nothing if it is gone already."""
        try:
            self._table.delete_entity(_PARTITION, f"{export_id}.{attempt}")
        except ResourceNotFoundError:
            return
