"""Purge by age: containers nobody reads, superseded files, old rows of the registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError

from mobexport.blob_paths import CURATED_CONTAINER, LANDING_PREFIX, POINTER, WORK_PREFIX
from mobexport.clock import stamp
from mobexport.pipeline.registry.registry import Registry
from mobexport.settings import Settings
from mobexport.storage import EXPORTS_TABLE, DataStorage, StoredBlob


@dataclass(frozen=True)
class Purger:
    """Deletes by age; each step may be repeated, and be killed anywhere."""

    registry: Registry
    storage: DataStorage
    settings: Settings

    def purge(self, now: datetime) -> dict[str, int]:
        """`{containers, superseded, rows}`: numbers of deletions."""
        return {
            "containers": sum(1 for _ in self._containers(now)),
            "superseded": sum(1 for _ in self._superseded(now)),
            "rows": sum(1 for _ in self._rows(now)),
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

    def _superseded(self, now: datetime) -> Iterator[str]:
        """Parquet files that no pointer of their day names, unless their export is still running."""
        before = now - timedelta(hours=self.settings.superseded_hours)
        blobs = self.storage.list_stored(CURATED_CONTAINER)
        for folder, inside in groupby(blobs, lambda blob: blob.name.rpartition("/")[0]):
            found = list(inside)
            old = [blob for blob in found if blob.name.endswith(".parquet") and blob.modified < before]
            if not old:
                continue
            # Read after the listing: what was committed since is open, or named here.
            running = tuple(f"{folder}/{row.id}-{row.attempt}-" for row in self.registry.open_rows())
            named = self._named(found)
            for blob in old:
                if blob.name not in named and not (running and blob.name.startswith(running)):
                    self.storage.delete_blob(CURATED_CONTAINER, blob.name)
                    yield blob.name

    def _named(self, folder: list[StoredBlob]) -> set[str]:
        named: set[str] = set()
        for blob in folder:
            if blob.name.rpartition("/")[2].startswith(POINTER):
                named |= set(self.storage.read_json(CURATED_CONTAINER, blob.name)["files"])
        return named

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
