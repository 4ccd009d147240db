"""An export's row in the registry, and its form as a table entity."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Final

from mobexport import blob_paths
from mobexport.blob_labels import export_labels
from mobexport.errors import UnreadableRow
from mobexport.ids import new_secret_name
from mobexport.pipeline.account import make_account
from mobexport.pipeline.registry.export_request import ExportRequest
from mobexport.pipeline.registry.keys import PARTITION, export_id
from mobexport.pipeline.registry.states import State
from mobexport.storage import EXPORTS_TABLE
from mobexport.wire import AttemptRef

CONVERTED: Final = "Converted"
"""Moment of an attempt: its files are converted, the manifest is written."""
COMMITTED: Final = "Committed"
"""Moment of an attempt: its rows are in the table."""
PENDING: Final = frozenset({"Pending", "Retrying"})
"""States of a delivery that is still to be made; `Delivered` is final, `Failed` until somebody asks again."""
FAILED: Final = "Failed"
"""State of a delivery that was given up."""


@dataclass(frozen=True)
class ExportRow:
    """One export with its newest attempt; times are RFC 3339 in UTC."""

    id: str
    request: ExportRequest
    state: State
    attempt: int
    created_at: str
    """Time of the first request."""
    updated_at: str
    began_at: str
    """Begin of the newest attempt; its deadlines count from here."""
    ended_at: str | None = None
    cancel_requested: bool = False
    marker: str | None = None
    """Part of the description of the attempt's jobs, beyond guessing; None in rows of earlier versions."""
    job_id: str | None = None
    landing: str | None = None
    """Container that the job writes to; None once it is deleted."""
    source_folder: str | None = None
    """`container/folder/` where a source that delivers to a place of its own left the files; only read."""
    file_format: str | None = None
    """Format of the job's files (ExportFormat); None until there is a job."""
    progress: Mapping[str, Any] = field(default_factory=dict)
    """Progress of the present phase: polls and the next one, files, converted files."""
    files: int | None = None
    """Collected files; None until they are collected."""
    committing: bool = False
    """The manifest is written and the pointers are being swapped: from here on the attempt succeeds."""
    manifest: str | None = None
    """Path of the manifest in `curated`, once committed."""
    counts: Mapping[str, Any] | None = None
    """Counts of the conversion; None until the commit."""
    raw_counts: Mapping[str, Any] | None = None
    """What became of the raw records, as the source told it with the job's end; None: it did not."""
    processing_error: Mapping[str, Any] | None = None
    """Failure of the processing; the run turns it into the attempt's end."""
    processing_started_by: str | None = None
    """First starter of the processing that committed: `blob trigger`, or `run` after its grace time."""
    phases: Mapping[str, str] = field(default_factory=dict)
    """Time at which the attempt entered each phase (`create`, `poll`, …, `done`)."""
    moments: Mapping[str, str] = field(default_factory=dict)
    """Time at which the attempt entered each state; of a commit also CONVERTED and COMMITTED. Rows of earlier
    versions have none."""
    trace: str | None = None
    """Trace of the request that began the attempt, as a W3C traceparent; all its steps are in it."""
    restarts: int = 0
    """Orchestrations of this attempt that the platform lost and that were started again."""
    deliveries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Notifications to make and made by `{attempt}/{target}`: event, state, tries, at, error. Of a finding
    `{attempt}/{target}~{kind}`."""
    events: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The CloudEvents with a pending delivery, by `event_key`."""
    error: Mapping[str, Any] | None = None
    orphans: tuple[str, ...] = ()
    """Export jobs that nobody reads: a crash while creating left them, or a cancel. For the record."""
    late_files: tuple[str, ...] = ()
    """Files that came into the landing container after it was collected; they were not processed."""
    etag: str = ""

    @property
    def ref(self) -> AttemptRef:
        """The newest attempt."""
        return AttemptRef(self.id, self.attempt)

    @property
    def account(self) -> dict[str, Any] | None:
        """What became of each record, from the raw line to the Parquet row; None while there is nothing."""
        return make_account(self.counts, self.raw_counts)

    @property
    def delivered(self) -> tuple[str, str]:
        """Container and prefix of the job's files."""
        if self.source_folder is not None:
            container, _, prefix = self.source_folder.partition("/")
            return container, prefix
        assert self.landing is not None
        return self.landing, ""

    @property
    def folder(self) -> str:
        """The attempt's folder in `exports`."""
        return blob_paths.export_folder(self.request.app, self.request.export_type, self.ref)

    @property
    def files_folder(self) -> str:
        """Folder of the collected files, in `folder`."""
        return blob_paths.files_folder(self.folder)

    @property
    def manifest_path(self) -> str:
        """Path of the attempt's manifest in `curated`, once committed."""
        return blob_paths.manifest_path(self.request.app, self.request.export_type, self.ref)

    def day_folder(self, day: date) -> str:
        """Folder of that day's rows in `curated`."""
        request = self.request
        return blob_paths.day_folder(request.app, request.export_type, day, snapshot=request.window is None)

    def labels(self, day: date | None = None) -> dict[str, str]:
        """Metadata of the newest attempt's blobs, for people."""
        return export_labels(self.request.app, self.request.export_type, self.ref, day)

    def delivery(self, target: str, attempt: int | None = None) -> Mapping[str, Any] | None:
        """State of a delivery (of the newest attempt); None if there is none."""
        return self.deliveries.get(_delivery_key(attempt or self.attempt, target))

    @property
    def pending_deliveries(self) -> tuple[tuple[int, str], ...]:
        """(attempt, target) of every pending delivery."""
        found = []
        for key, delivery in self.deliveries.items():
            attempt, _, target = key.partition("/")
            if delivery["state"] in PENDING:
                found.append((int(attempt), target))
        return tuple(found)

    @property
    def undelivered(self) -> str | None:
        """`failed`, `pending`, or `both`: whether a delivery was given up, or is still to be made."""
        failed = any(delivery["state"] == FAILED for delivery in self.deliveries.values())
        if self.pending_deliveries:
            return "both" if failed else "pending"
        return "failed" if failed else None

    @property
    def processing(self) -> bool:
        """Whether its files are collected and their processing has not ended."""
        return self.state is State.PROCESSING and self.manifest is None and self.processing_error is None

    @property
    def open(self) -> bool:
        """Whether any work is left for this export; the tick looks for such rows."""
        return not self.state.terminal or bool(self.pending_deliveries) or self.landing is not None

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds that the attempt spent in each phase it has left."""
        entered = sorted((datetime.fromisoformat(at), phase) for phase, at in self.phases.items())
        pairs = itertools.pairwise(entered)
        return {phase: (until - since).total_seconds() for (since, phase), (until, _) in pairs}

    def moved(self, before: ExportRow, at: str) -> ExportRow:
        """The row with the times of what this change of it made happen."""
        moments = dict(self.moments)
        if self.state is not before.state:
            moments[self.state] = at
        if self.committing and not before.committing:
            moments[CONVERTED] = at
        if self.manifest and not before.manifest:
            moments[COMMITTED] = at
        phases = (
            self.phases if self.state.phase == before.state.phase else {**self.phases, self.state.phase: at}
        )
        return replace(self, phases=phases, moments=moments)

    def next_attempt(self, request: ExportRequest, at: str, trace: str | None = None) -> ExportRow:
        """The row as its next attempt begins; the pending notifications of earlier attempts stay."""
        pending = {_delivery_key(attempt, target) for attempt, target in self.pending_deliveries}
        return replace(
            begin(request, self.attempt + 1, at, trace),
            created_at=self.created_at,
            orphans=self.orphans,
            deliveries={key: value for key, value in self.deliveries.items() if key in pending},
            events=self.events,
            etag=self.etag,
        )

    def with_event(
        self, event: Mapping[str, Any], delivery: Mapping[str, Any], finding: str = ""
    ) -> ExportRow:
        """The row with an event of its attempt (the end, or a finding), and a delivery for each target."""
        names = [f"{target}~{finding}" if finding else target for target in self.request.notify]
        return replace(
            self,
            events={**self.events, **{event_key(self.attempt, name): event for name in names}},
            deliveries={**self.deliveries, **{_delivery_key(self.attempt, name): delivery for name in names}},
        )

    def with_delivery(self, attempt: int, target: str, delivery: Mapping[str, Any]) -> ExportRow:
        """The row with the new state of a delivery; an event that was delivered to all is dropped."""
        deliveries = {**self.deliveries, _delivery_key(attempt, target): dict(delivery)}
        changed = replace(self, deliveries=deliveries)
        open_ends = PENDING | {FAILED}
        still = {
            event_key(int(number), name)
            for key, one in deliveries.items()
            for number, _, name in [key.partition("/")]
            if one["state"] in open_ends
        }
        return replace(changed, events={key: event for key, event in self.events.items() if key in still})


def event_key(attempt: int, target: str) -> str:
    """Key of the event that a delivery is of: the attempt's end, or a finding (`target~kind`)."""
    _, found, kind = target.partition("~")
    return f"{attempt}{found}{kind}"


def _delivery_key(attempt: int, target: str) -> str:
    return f"{attempt}/{target}"


def begin(request: ExportRequest, attempt: int, at: str, trace: str | None = None) -> ExportRow:
    """A row whose attempt has just begun."""
    return ExportRow(
        id=request.id,
        request=request,
        state=State.REQUESTED,
        attempt=attempt,
        created_at=at,
        updated_at=at,
        began_at=at,
        marker=new_secret_name(),
        phases={State.REQUESTED.phase: at},
        moments={State.REQUESTED: at},
        trace=trace,
    )


_MOST_CHARACTERS: Final = 8_000
"""Of a list in a row: a cell has 64 KiB in UTF-16, an entity 1 MiB."""
_MAPPINGS: Final = (
    "progress",
    "counts",
    "raw_counts",
    "processing_error",
    "deliveries",
    "events",
    "error",
    "phases",
    "moments",
)
_LISTS: Final = ("orphans", "late_files")
_PLAIN: Final = (
    "attempt", "created_at", "updated_at", "began_at", "ended_at", "cancel_requested", "marker", "job_id",
    "landing", "source_folder", "file_format",
    "files", "committing", "manifest", "processing_started_by", "trace", "restarts",
)  # fmt: skip


def shortened(names: Iterable[str]) -> tuple[str, ...]:
    """The names once each, as many as a cell of a table surely holds; the last one counts those left out."""
    found = tuple(dict.fromkeys(names))
    kept: list[str] = []
    room = _MOST_CHARACTERS
    for name in found:
        room -= len(name) + 4
        if room < 0:
            return (*kept, f"… and {len(found) - len(kept)} more")
        kept.append(name)
    return found


def to_entity(row: ExportRow) -> dict[str, Any]:
    """The row as a table entity: what is filtered by in columns of its own, nested values as JSON text."""
    request = row.request
    entity: dict[str, Any] = {
        "PartitionKey": PARTITION,
        "RowKey": row.id,
        "app": request.app,
        "exportType": request.export_type,
        "request": json.dumps(request.to_json()),
        "state": str(row.state),
        "open": row.open,
        "undelivered": row.undelivered,
    }
    entity |= {name: getattr(row, name) for name in _PLAIN}
    entity |= {name: json.dumps(list(getattr(row, name)), ensure_ascii=False) for name in _LISTS}
    for name in _MAPPINGS:
        value = getattr(row, name)
        if name == "events":
            value = _fitting(value)
        entity[name] = None if value is None else json.dumps(dict(value), ensure_ascii=False)
    return {name: value for name, value in entity.items() if value is not None}


_CELL: Final = 32_000  # of UTF-16; a cell of a table holds 32,768


def _fitting(events: Mapping[str, Any]) -> Mapping[str, Any]:
    """The events; without names and rules if all of them, of several attempts say, do not fit a cell."""
    if len(json.dumps(dict(events), ensure_ascii=False).encode("utf-16-le")) <= 2 * _CELL:
        return events
    return {key: {**event, "data": _without_names(event["data"])} for key, event in events.items()}


def _without_names(data: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in data.items() if not isinstance(value, list) or name == "window"}
    counts = plain.get("counts")
    if not counts:
        return plain
    kept = {
        name: value for name, value in counts.items() if name not in ("drift", "rules", "lenient", "rejects")
    }
    if raw := kept.get("raw"):
        kept["raw"] = {name: value for name, value in raw.items() if name != "rules"}
    return {**plain, "counts": kept}


def from_entity(entity: Mapping[str, Any]) -> ExportRow:
    """The row that a table entity, or the copy of one, holds. Raises UnreadableRow."""
    try:
        row = _read(entity)
        # Whatever a list shows of a row must be there.
        assert all(isinstance(one, dict) for one in (*row.deliveries.values(), *row.events.values()))
        _ = row.open, row.undelivered, row.seconds
    except (KeyError, ValueError, TypeError, AttributeError, AssertionError, RecursionError) as error:
        raise UnreadableRow(EXPORTS_TABLE, export_id(entity), error) from None
    return row


def _read(entity: Mapping[str, Any]) -> ExportRow:
    values: dict[str, Any] = {name: entity.get(name) for name in _PLAIN}
    values["restarts"] = values["restarts"] or 0
    values |= {name: dict(json.loads(entity[name])) for name in _MAPPINGS if name in entity}
    values |= {name: tuple(json.loads(entity[name])) for name in _LISTS if name in entity}
    return ExportRow(
        id=export_id(entity),
        request=ExportRequest.from_json(json.loads(entity["request"])),
        state=State(entity["state"]),
        etag=str(getattr(entity, "metadata", {}).get("etag", "")),
        **values,
    )
