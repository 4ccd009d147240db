"""Purge by age: containers nobody reads, old rows of the registry; upkeep of the tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError

from mobexport.blob_labels import READMES
from mobexport.blob_paths import LANDING_PREFIX, WORK_PREFIX
from mobexport.clock import stamp
from mobexport.pipeline.registry.keys import PARTITION
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.requests.signed_calls import SignedCalls
from mobexport.settings import Settings
from mobexport.storage import EXPORTS_TABLE, DataStorage
from mobexport.tables.commit import table_folder


class KeepsTables(Protocol):
    """What the purge needs of the curated tables."""

    def run(self, unfinished: Collection[str]) -> dict[str, int]: ...


# Clocks of the app and of the storage account may differ.
_CLOCKS: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Purger:
    """Deletes by age; each step may be repeated, and be killed anywhere."""

    registry: Registry
    storage: DataStorage
    settings: Settings
    calls: SignedCalls
    upkeep: KeepsTables

    def purge(self, now: datetime) -> dict[str, int]:
        """Numbers of deletions, `{containers, rows, calls}`, of what was `mended` in the list of exports,
        and what the upkeep of tables did."""
        for container in READMES:
            # Those of a deployment were made without one, and a rule of the account deletes what is old.
            self.storage.write_readme(container)
        return {
            "containers": sum(1 for _ in self._containers(now)),
            "rows": sum(1 for _ in self._rows(now)),
            "mended": self.registry.mend_list(),
            "calls": self.calls.purge(now),
            **self.upkeep.run(self._unfinished(now)),
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

    def _unfinished(self, now: datetime) -> set[str]:
        """Tables in which an attempt may have files that are old and not committed yet.

        An attempt does not take as long, but an app can stand still for weeks and then go on.
        """
        before = stamp(now - timedelta(days=self.settings.table_history_days) + _CLOCKS)
        return {
            table_folder(row.request.app, row.request.export_type)
            for row in self.registry.open_rows()
            if not row.state.terminal and row.began_at < before
        }

    def _rows(self, now: datetime) -> Iterator[str]:
        before = stamp(now - timedelta(days=self.settings.registry_days))
        table: Any = self.storage.table(EXPORTS_TABLE)
        for entity in table.query_entities(
            "open eq false and updated_at lt @before", parameters={"before": before}
        ):
            # Otherwise somebody began its next attempt just now.
            if self._delete_row(table, entity):
                yield str(entity["RowKey"])

    def _delete_row(self, table: Any, entity: Any) -> bool:
        etag = entity.metadata["etag"]
        if entity["PartitionKey"] == PARTITION:
            return self.registry.delete(entity, etag)
        try:
            table.delete_entity(entity, etag=etag, match_condition=MatchConditions.IfNotModified)
        except HttpResponseError as error:
            if error.status_code not in (404, 412):
                raise
            return False
        return True
