"""The registry: one table row an export, the pipeline's memory.

Durable's history is purged, and instances and events are only hints: this table is the record of an export.
Changes go by ETag; a state that cannot follow, or belongs to an earlier attempt, changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from mobexport.blob_paths import CURATED_CONTAINER, manifest_prefix
from mobexport.clock import stamp
from mobexport.errors import Conflict, NotFound, RequestError, UnreadableRow
from mobexport.pipeline.registry import newest_first
from mobexport.pipeline.registry.export_request import ExportRequest, is_id
from mobexport.pipeline.registry.export_row import ExportRow, begin, from_entity, to_entity
from mobexport.pipeline.registry.keys import PARTITION, export_id, key_range
from mobexport.pipeline.registry.states import can_move
from mobexport.pipeline.requests.export_list import FORGED, ListQuery, encode_token
from mobexport.storage import EXPORTS_TABLE, DataStorage
from mobexport.telemetry.logs import get_logger
from mobexport.telemetry.tracing import current
from mobexport.wire import AttemptRef

if TYPE_CHECKING:
    from azure.data.tables import TableClient

_log = get_logger(__name__)
_Change = Callable[[ExportRow], ExportRow | None]


class Page(NamedTuple):
    """One page of the list of exports."""

    rows: list[ExportRow]
    token: str | None
    """Continuation; None at the end."""
    unreadable: list[str]
    """Ids of rows that cannot be read."""


class Registry:
    """Rows of the table `exports` by export id."""

    def __init__(self, storage: DataStorage) -> None:
        self._storage = storage
        self._mended = False

    @property
    def _table(self) -> TableClient:
        # Each time: somebody may have deleted it.
        return self._storage.table(EXPORTS_TABLE)

    def find(self, export_id: str) -> ExportRow | None:
        """The export of that id, or None."""
        if not is_id(export_id):
            return None
        try:
            return from_entity(self._table.get_entity(PARTITION, export_id))
        except ResourceNotFoundError:
            return None

    def get(self, export_id: str) -> ExportRow:
        """Raises NotFound."""
        row = self.find(export_id)
        if row is None:
            raise NotFound(f"there is no export {export_id[:150]!r}")
        return row

    def attempt(self, ref: AttemptRef) -> ExportRow:
        """The row, if that attempt is its newest. Raises NotFound or Conflict."""
        return _checked(self.get(ref.export_id), ref.attempt)

    def request(self, request: ExportRequest, *, rerun: bool) -> tuple[ExportRow, bool]:
        """The export of that request, and whether this call began an attempt.

        Running or succeeded: as it is. Failed, timed out, cancelled, or `rerun` of a succeeded one: the
        next attempt. Raises Conflict for a `rerun` of a running one.
        """
        while True:
            row = self.find(request.id)
            if row is None:
                fresh = begin(request, 1 + self._last_committed(request), stamp(), current())
                if etag := newest_first.create(self._table, to_entity(fresh)):
                    return replace(fresh, etag=etag), True
                continue
            if not (row.state.restartable or (rerun and row.state.terminal)):
                if rerun:
                    raise Conflict(
                        f"export {row.id!r} is {row.state}; a rerun can begin when it has ended",
                        code="StillRunning",
                    )
                return row, False
            fresh = row.next_attempt(request, stamp(), current())
            if etag := newest_first.replace(self._table, to_entity(fresh), row.etag):
                return replace(fresh, etag=etag), True

    def _last_committed(self, request: ExportRequest) -> int:
        """The last attempt whose manifest stands: rows are purged after a year, manifests are not, and an
        attempt must never find another's."""
        prefix = manifest_prefix(request.app, request.export_type, request.id)
        names = (blob.name for blob in self._storage.list_blobs(CURATED_CONTAINER, prefix))
        found = (re.fullmatch(r"(\d+)\.json", name.removeprefix(prefix)) for name in names)
        return max((int(match[1]) for match in found if match), default=0)

    def change(self, ref: AttemptRef, change: _Change, row: ExportRow | None = None) -> ExportRow:
        """Applies a pure change to the row of that attempt, again if somebody else was faster.

        `change` returns None to leave the row as it is. A change of state that the table of states
        forbids is left out and logged: it is a repetition or comes too late. `row` is the row as the caller
        has just read or written it. Returns the row as it is then. Raises NotFound, or Conflict if the
        attempt is no longer the newest.
        """

        def allowed(row: ExportRow) -> ExportRow | None:
            changed = change(_checked(row, ref.attempt))
            if changed is None:
                return None
            if not can_move(row.state, changed.state):
                if changed.state is not row.state:
                    _log.info("export %s stays %s: no move to %s", row.id, row.state, changed.state)
                return None
            return changed.moved(row, stamp())

        return self.amend(ref.export_id, allowed, row)

    def amend(self, export_id: str, change: _Change, row: ExportRow | None = None) -> ExportRow:
        """Applies a pure change of anything but the state (pending deliveries, late files, jobs left behind),
        also after the end. Returns the row as it is then. Raises NotFound."""
        while True:
            found = row or self.get(export_id)
            row = None
            changed = change(found)
            if changed is None:
                return found
            changed = replace(changed, updated_at=stamp())
            if etag := newest_first.replace(self._table, to_entity(changed), changed.etag):
                return replace(changed, etag=etag)

    def request_cancel(self, export_id: str) -> ExportRow:
        """Sets the cancel flag of the newest attempt. Raises NotFound, or Conflict if it is too late."""

        def flag(now: ExportRow) -> ExportRow | None:
            if not now.state.cancellable:
                raise Conflict(f"export {export_id!r} is {now.state} and cannot be cancelled", code="TooLate")
            return None if now.cancel_requested else replace(now, cancel_requested=True)

        return self.amend(export_id, flag)

    def count_restart(self, ref: AttemptRef) -> ExportRow | None:
        """Counts an orchestration of the attempt that was lost; None if the attempt has ended."""

        def count(now: ExportRow) -> ExportRow | None:
            _checked(now, ref.attempt)
            return None if now.state.terminal else replace(now, restarts=now.restarts + 1)

        try:
            row = self.amend(ref.export_id, count)
        except (Conflict, NotFound):
            return None
        return None if row.state.terminal else row

    def record_delivery(self, ref: AttemptRef, target: str, delivery: Mapping[str, Any]) -> None:
        """Keeps the state of a delivery, also after the attempt has ended."""
        self.amend(ref.export_id, lambda now: now.with_delivery(ref.attempt, target, delivery))

    def page(self, query: ListQuery) -> Page:
        """Exports that fit the query, newest first: to be shown, not changed, since they have no ETag.

        Raises RequestError for a continuation that storage refuses.
        """
        return self._page(query.filter(), query.parameters(), query.limit, query.token())

    def undelivered(self, state: str, app: str | None, limit: int, token: Mapping[str, str] | None) -> Page:
        """Exports with a `failed` or a `pending` delivery, newest first; raises as `page` does."""
        terms = f"{key_range()} and (undelivered eq '{state}' or undelivered eq 'both')"
        terms += " and app eq @app" if app else ""
        return self._page(terms, {"app": app} if app else {}, limit, dict(token) if token else None)

    def _page(
        self, terms: str, parameters: Mapping[str, Any], limit: int, token: dict[str, str] | None
    ) -> Page:
        found: list[ExportRow] = []
        unreadable: list[str] = []
        pages: Any = self._table.query_entities(
            terms, parameters=dict(parameters), results_per_page=limit
        ).by_page(token)  # type: ignore[arg-type]
        # A page of a table may be empty and still not the last one.
        try:
            for page in pages:
                found += _readable(page, unreadable)
                if found or unreadable or pages.continuation_token is None:
                    break
        except HttpResponseError as error:
            if token and error.status_code == 400:
                raise RequestError.of([FORGED]) from None
            raise
        return Page(found, encode_token(pages.continuation_token), unreadable)

    def mend_list(self) -> int:
        """Makes the list agree with the rows, whoever wrote them. Returns the number of exports mended."""
        return newest_first.mend(self._table)

    def mend_list_once(self) -> None:
        """Brings what an earlier version wrote into the list; nothing once that is done."""
        self._mended = self._mended or newest_first.mend_once(self._table)

    def delete(self, entity: Mapping[str, Any], etag: str) -> bool:
        """Deletes exactly that version of a row; False if it has changed or is gone."""
        return newest_first.delete(self._table, entity, etag)

    def open_rows(self) -> Iterator[ExportRow]:
        """Exports with anything left to do: running, with a notification to make or a container to delete."""
        query = f"PartitionKey eq '{PARTITION}' and open eq true"
        yield from _readable(self._table.query_entities(query), [])


def _readable(entities: Iterable[Mapping[str, Any]], unreadable: list[str]) -> Iterator[ExportRow]:
    """The rows; one that cannot be read is logged, and its id added to `unreadable`: the others go on."""
    for entity in entities:
        try:
            yield from_entity(entity)
        except UnreadableRow as error:
            _log.error("%s", error.message)
            unreadable.append(export_id(entity))


def _checked(row: ExportRow, attempt: int) -> ExportRow:
    if row.attempt != attempt:
        raise Conflict(f"export {row.id!r} is at attempt {row.attempt}, not {attempt}", code="OldAttempt")
    return row
