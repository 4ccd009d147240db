"""The registry: one table row an export, the pipeline's memory.

Durable's history is purged, instances and events are hints; what an export is and was stands here.
Changes go by ETag; a state that cannot follow, or belongs to an earlier attempt, changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from mobexport.clock import stamp
from mobexport.errors import Conflict, NotFound
from mobexport.pipeline.requests import ExportRequest
from mobexport.pipeline.states import State, can_move
from mobexport.storage import EXPORTS_TABLE, DataStorage, replace_row

_PARTITION = "exports"


@dataclass(frozen=True)
class ExportRow:
    """One export with its newest attempt; times are RFC 3339 in UTC."""

    id: str
    request: ExportRequest
    state: State
    attempt: int
    created_at: str
    updated_at: str
    cancel_requested: bool = False
    job_id: str | None = None
    landing: str | None = None
    """Container that the job writes to; its files are collected from there."""
    progress: Mapping[str, Any] = field(default_factory=dict)
    """What the present phase counts: polls and the next one, files, converted files."""
    files: int | None = None
    """Collected files; None until they are collected."""
    manifest: str | None = None
    """Path of the manifest in `curated`, once committed."""
    counts: Mapping[str, Any] | None = None
    processing_error: Mapping[str, Any] | None = None
    """Why processing gave up; the run turns it into the attempt's end."""
    deliveries: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    orphans: tuple[str, ...] = ()
    """Export jobs that a crash while creating left behind: never read, listed for the sweep."""
    etag: str = ""


class Registry:
    """Rows of the table `exports` by export id."""

    def __init__(self, storage: DataStorage) -> None:
        self._table = storage.table(EXPORTS_TABLE)

    def get(self, export_id: str) -> ExportRow:
        """Raises NotFound."""
        try:
            return _from_entity(self._table.get_entity(_PARTITION, export_id))
        except ResourceNotFoundError:
            raise NotFound(f"there is no export {export_id!r}") from None

    def attempt(self, export_id: str, attempt: int) -> ExportRow:
        """The row, if that attempt is its newest. Raises NotFound or Conflict."""
        row = self.get(export_id)
        if row.attempt != attempt:
            raise Conflict(
                f"export {export_id!r} is at attempt {row.attempt}, not {attempt}", code="OldAttempt"
            )
        return row

    def request(self, request: ExportRequest, *, rerun: bool) -> tuple[ExportRow, bool]:
        """The export of that request, and whether this call began an attempt.

        Running or succeeded: as it is. Failed, timed out, cancelled, or `rerun` of a succeeded one: the
        next attempt. Raises Conflict for a `rerun` of a running one.
        """
        at = stamp(request.requested_at)
        fresh = ExportRow(request.id, request, State.REQUESTED, 1, created_at=at, updated_at=at)
        try:
            self._table.create_entity(_to_entity(fresh))
            return self.get(request.id), True
        except ResourceExistsError:
            pass
        while True:
            row = self.get(request.id)
            if not (row.state.restartable or (rerun and row.state.terminal)):
                if rerun:
                    raise Conflict(
                        f"export {row.id!r} is {row.state}; a rerun can begin when it has ended",
                        code="StillRunning",
                    )
                return row, False
            again = replace(
                fresh, attempt=row.attempt + 1, created_at=row.created_at, orphans=row.orphans, etag=row.etag
            )
            if replace_row(self._table, _to_entity(again), again.etag):
                return self.get(request.id), True

    def change(
        self, export_id: str, attempt: int, change: Callable[[ExportRow], ExportRow | None]
    ) -> ExportRow:
        """Applies a pure change to the row of that attempt, again if somebody else was faster.

        `change` returns None to leave the row as it is. A change of state that the table of states
        forbids is left out, silently: it is a repetition or comes too late. Returns the row as it is
        then. Raises NotFound, or Conflict if the attempt is no longer the newest.
        """
        while True:
            row = self.attempt(export_id, attempt)
            changed = change(row)
            if changed is None or not can_move(row.state, changed.state):
                return row
            changed = replace(changed, updated_at=stamp())
            if replace_row(self._table, _to_entity(changed), changed.etag):
                return changed

    def request_cancel(self, export_id: str) -> ExportRow:
        """Sets the cancel flag of the newest attempt. Raises NotFound, or Conflict if it is too late."""
        row = self.get(export_id)

        def flag(now: ExportRow) -> ExportRow:
            if not now.state.cancellable:
                raise Conflict(f"export {export_id!r} is {now.state} and cannot be cancelled", code="TooLate")
            return replace(now, cancel_requested=True)

        return self.change(export_id, row.attempt, flag)

    def record_delivery(self, export_id: str, attempt: int, target: str, delivery: Mapping[str, Any]) -> None:
        """Keeps what became of a notification; also after the attempt has ended."""
        while True:
            row = self.attempt(export_id, attempt)
            changed = replace(row, deliveries={**row.deliveries, target: dict(delivery)}, updated_at=stamp())
            if replace_row(self._table, _to_entity(changed), changed.etag):
                return


_JSON_FIELDS = ("progress", "counts", "processing_error", "deliveries", "error")


def _to_entity(row: ExportRow) -> dict[str, Any]:
    request = row.request
    entity: dict[str, Any] = {
        "PartitionKey": _PARTITION,
        "RowKey": row.id,
        "app": request.app,
        "exportType": request.export_type,
        "request": json.dumps(request.to_json()),
        "state": str(row.state),
        "attempt": row.attempt,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "cancel_requested": row.cancel_requested,
        "job_id": row.job_id,
        "landing": row.landing,
        "files": row.files,
        "manifest": row.manifest,
        "orphans": json.dumps(list(row.orphans)),
    }
    for name in _JSON_FIELDS:
        value = getattr(row, name)
        entity[name] = None if value is None else json.dumps(dict(value), ensure_ascii=False)
    return {name: value for name, value in entity.items() if value is not None}


def _from_entity(entity: Mapping[str, Any]) -> ExportRow:
    parsed = {name: json.loads(entity[name]) for name in _JSON_FIELDS if name in entity}
    return ExportRow(
        id=str(entity["RowKey"]),
        request=ExportRequest.from_json(json.loads(entity["request"])),
        state=State(entity["state"]),
        attempt=int(entity["attempt"]),
        created_at=str(entity["created_at"]),
        updated_at=str(entity["updated_at"]),
        cancel_requested=bool(entity["cancel_requested"]),
        job_id=entity.get("job_id"),
        landing=entity.get("landing"),
        files=entity.get("files"),
        manifest=entity.get("manifest"),
        orphans=tuple(json.loads(entity["orphans"])),
        etag=str(getattr(entity, "metadata", {}).get("etag", "")),
        **parsed,
    )
