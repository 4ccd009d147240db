"""Batches: many exports in one request, a few at a time, each with its own outcome.

A batch is a row beside those of the exports. It holds the subject of each of its exports, the attempt that
belongs to the batch, and how that attempt ended.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from mobexport.clock import now, read_stamp, stamp
from mobexport.errors import Conflict, NotFound
from mobexport.pipeline.registry.export_request import ExportRequest, is_id
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.registry.states import State
from mobexport.storage import EXPORTS_TABLE, DataStorage, replace_row

if TYPE_CHECKING:
    from azure.data.tables import TableClient

PARTITION: Final = "batches"
PASSING: Final = frozenset({"Transient", "Throttled", "TimedOut", "StepFailed", "Crashed"})
"""Codes of failures that may pass by themselves."""
MAX_EXPORTS: Final = 200
"""Limited by the size of a table row."""


@dataclass(frozen=True)
class Item:
    """One export of a batch; no attempt: it has not begun."""

    request: ExportRequest
    attempt: int | None = None
    state: State | None = None
    """Final state of that attempt."""


@dataclass(frozen=True)
class Batch:
    """A batch as its row holds it; times are RFC 3339 in UTC."""

    id: str
    items: tuple[Item, ...]
    parallel: int
    rerun: bool
    created_at: str
    ended_at: str | None = None
    etag: str = field(default="", compare=False)

    @property
    def state(self) -> str:
        """`Running`, or `Succeeded`, `PartiallySucceeded`, `Failed` by how the exports ended."""
        ends = [item.state for item in self.items]
        if None in ends:
            return "Running"
        good = sum(end is not None and not end.restartable for end in ends)
        return "Succeeded" if good == len(ends) else "PartiallySucceeded" if good else "Failed"

    @property
    def counts(self) -> dict[str, int]:
        """Number of exports in each state; `Waiting` and `Running` for those that have not ended."""
        words = (
            str(item.state) if item.state else "Waiting" if item.attempt is None else "Running"
            for item in self.items
        )
        return dict(sorted(Counter(words).items()))


def batch_id(prefix: str, requests: Sequence[ExportRequest], rerun: bool, parallel: int) -> str:
    """`[a-z0-9-]`, made of the request: the same batch requested twice is the same batch."""
    made_of = json.dumps([[request.id for request in requests], rerun, parallel])
    return f"{prefix}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"


class Batches:
    """Rows of batches, and the one step that carries them on."""

    def __init__(self, storage: DataStorage, registry: Registry) -> None:
        self._storage = storage
        self._registry = registry

    @property
    def _table(self) -> TableClient:
        return self._storage.table(EXPORTS_TABLE)

    def add(self, batch: Batch) -> tuple[Batch, bool]:
        """Keeps a batch, and returns whether it begins. A running or succeeded one stays; its failed exports
        begin anew, all of them in a rerun. Raises Conflict for a rerun of a running one.
        """
        while True:
            try:
                self._table.create_entity(_to_entity(batch))
                return self.get(batch.id), True
            except ResourceExistsError:
                there = self.get(batch.id)
            if batch.rerun and there.ended_at is None:
                raise Conflict(f"batch {batch.id!r} is running; a rerun can begin when it has ended")
            if there.ended_at is None or (there.state == "Succeeded" and not batch.rerun):
                return there, False
            if replace_row(self._table, _to_entity(batch), there.etag):
                return self.get(batch.id), True

    def again(self, batch: Batch, at: datetime) -> Batch | None:
        """Begins the failed exports of an ended batch anew, if one of them failed for a passing reason."""
        rows = (self._registry.find(item.request.id) for item in batch.items)
        if not any(row and row.error and row.error["code"] in PASSING for row in rows):
            return None
        items = tuple(Item(replace(item.request, requested_at=at)) for item in batch.items)
        return self.add(replace(batch, items=items, rerun=False, created_at=stamp(at), ended_at=None))[0]

    def get(self, id_: str) -> Batch:
        """Raises NotFound."""
        try:
            if is_id(id_):
                return _from_entity(self._table.get_entity(PARTITION, id_))
        except ResourceNotFoundError:
            pass
        raise NotFound(f"there is no batch {id_[:150]!r}")

    def advance(self, id_: str) -> tuple[Batch, list[ExportRow]]:
        """Notes which exports ended, and begins as many as may run. Returns the batch, and the rows whose
        runs must be started (a running one is left alone)."""
        while True:
            batch = self.get(id_)
            if batch.ended_at is not None:
                return batch, []
            rows: dict[int, ExportRow] = {}
            items = [self._look(number, item, rows) for number, item in enumerate(batch.items)]
            free = batch.parallel - sum(item.attempt is not None and item.state is None for item in items)
            for number, item in enumerate(items):
                if free > 0 and item.attempt is None:
                    row = self._begin(batch, item)
                    rows[number] = row
                    items[number] = replace(item, attempt=row.attempt, state=_end(row))
                    free -= items[number].state is None
            changed = replace(batch, items=tuple(items))
            if changed.state != "Running":
                changed = replace(changed, ended_at=stamp())
            if changed == batch or replace_row(self._table, _to_entity(changed), batch.etag):
                starting = [row for row in rows.values() if row.state is State.REQUESTED]
                return changed, starting

    def _look(self, number: int, item: Item, rows: dict[int, ExportRow]) -> Item:
        if item.attempt is None or item.state is not None:
            return item
        row = self._registry.get(item.request.id)
        if row.attempt == item.attempt:
            rows[number] = row
            return replace(item, state=_end(row))
        # Somebody began another attempt, which the registry allows only after ours had ended.
        return replace(item, attempt=row.attempt, state=_end(row))

    def _begin(self, batch: Batch, item: Item) -> ExportRow:
        found = self._registry.find(item.request.id)
        if found is not None and found.request.requested_at == item.request.requested_at:
            return found  # A repetition of this step: the attempt is ours already.
        try:
            return self._registry.request(item.request, rerun=batch.rerun)[0]
        except Conflict:
            # It runs for somebody else: its outcome is the one to report.
            return self._registry.get(item.request.id)

    def open_ids(self) -> list[tuple[str, datetime]]:
        """Batches that have not ended, with the time of their last write; long ago if nobody can read it."""
        found = self._table.query_entities(
            f"PartitionKey eq '{PARTITION}' and open eq true", select=["RowKey", "updated_at"]
        )
        return [(str(one["RowKey"]), read_stamp(one.get("updated_at"))) for one in found]


def _end(row: ExportRow) -> State | None:
    return row.state if row.state.terminal else None


def _to_entity(batch: Batch) -> dict[str, Any]:
    first = batch.items[0].request
    entity = {
        "PartitionKey": PARTITION,
        "RowKey": batch.id,
        "parallel": batch.parallel,
        "rerun": batch.rerun,
        "created_at": batch.created_at,
        "ended_at": batch.ended_at,
        "open": batch.ended_at is None,
        "updated_at": stamp(),
        # Common values are stored once, so that a row holds as many exports as are allowed.
        "common": json.dumps(first.to_json()),
        **_cells([_item_to_json(item) for item in batch.items]),
    }
    return {name: value for name, value in entity.items() if value is not None}


_CELL: Final = 20_000  # characters; a cell of a table holds 32,768


def _cells(items: list[Any]) -> dict[str, str]:
    text = json.dumps(items, separators=(",", ":"))
    parts = [text[start : start + _CELL] for start in range(0, len(text), _CELL)]
    return {f"items{number}": part for number, part in enumerate(parts)}


def _item_to_json(item: Item) -> list[Any]:
    request = item.request
    subject = request.subject()
    del subject["app"]
    return [subject, item.attempt, str(item.state) if item.state else None]


def _from_entity(entity: Mapping[str, Any]) -> Batch:
    common = json.loads(entity["common"])
    text = "".join(str(entity[f"items{number}"]) for number in range(1000) if f"items{number}" in entity)
    for name in ("window", "snapshotDay", "exportType"):
        del common[name]
    items = []
    for subject, attempt, state in json.loads(text):
        plain = {name: value for name, value in common.items() if not name.startswith("campaign")}
        request = ExportRequest.from_json({**plain, **subject})
        items.append(Item(request, attempt, State(state) if state else None))
    return Batch(
        id=str(entity["RowKey"]),
        items=tuple(items),
        parallel=int(entity["parallel"]),
        rerun=bool(entity["rerun"]),
        created_at=str(entity["created_at"]),
        ended_at=entity.get("ended_at"),
        etag=str(getattr(entity, "metadata", {}).get("etag", "")),
    )


def new_batch(
    prefix: str,
    requests: Sequence[ExportRequest],
    *,
    parallel: int,
    rerun: bool,
    clock: Callable[[], datetime] = now,
) -> Batch:
    """A batch of those requests that has not begun."""
    items = tuple(Item(request) for request in requests)
    return Batch(batch_id(prefix, requests, rerun, parallel), items, parallel, rerun, stamp(clock()))
