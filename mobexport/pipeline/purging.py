"""Purge by age: containers nobody reads, superseded files, old rows of the registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError

from mobexport.blob_paths import LANDING_PREFIX, WORK_PREFIX
from mobexport.clock import stamp
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.requests.signed_calls import SignedCalls
from mobexport.settings import Settings
from mobexport.storage import EXPORTS_TABLE, DataStorage


class VacuumsTables(Protocol):
    """What the purge needs of the curated tables."""

    def folders(self) -> list[str]: ...
    def vacuum(self, folder: str, older_than: timedelta) -> list[str]: ...


@dataclass(frozen=True)
class Purger:
    """Deletes by age; each step may be repeated, and be killed anywhere."""

    registry: Registry
    storage: DataStorage
    settings: Settings
    tables: VacuumsTables

    def purge(self, now: datetime) -> dict[str, int]:
        """`{containers, superseded, rows, calls}`: numbers of deletions."""
        return {
            "containers": sum(1 for _ in self._containers(now)),
            "superseded": sum(1 for _ in self._superseded()),
            "rows": sum(1 for _ in self._rows(now)),
            "calls": SignedCalls(self.storage).purge(now),
        }

    def _containers(self, now: datetime) -> Iterator[str]:
        before = now - timedelta(days=self.settings.landing_days)
        # Containers of exports that have not ended stay, whatever their age.
        kept = {row.landing for row in self.registry.open_rows()}
        for prefix in (LANDING_PREFIX, WORK_PREFIX):
            for name, modified in list(self.storage.list_containers(prefix)):
                if modified < before and name not in kept:
                    self.storage.delete_container(name)
                    yield name

    def _superseded(self) -> Iterator[str]:
        """Files that have not counted for so long, and files of attempts that never committed.

        None that a running attempt has written: an attempt does not take as long.
        """
        history = timedelta(days=self.settings.table_history_days)
        for folder in self.tables.folders():
            yield from self.tables.vacuum(folder, history)

    def _rows(self, now: datetime) -> Iterator[str]:
        before = stamp(now - timedelta(days=self.settings.registry_days))
        table: Any = self.storage.table(EXPORTS_TABLE)
        for entity in table.query_entities(
            "open eq false and updated_at lt @before", parameters={"before": before}
        ):
            try:
                table.delete_entity(
                    entity, etag=entity.metadata["etag"], match_condition=MatchConditions.IfNotModified
                )
            except HttpResponseError as error:
                if error.status_code not in (404, 412):
                    raise
                continue  # Somebody began its next attempt just now.
            yield str(entity["RowKey"])
