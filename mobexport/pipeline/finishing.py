"""End attempts: the one place that moves them to a terminal state."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from mobexport.clock import stamp
from mobexport.errors import MobexportError, Transient
from mobexport.pipeline.account import why_empty
from mobexport.pipeline.findings import LINES, Finding, find
from mobexport.pipeline.jobs.export_jobs import drop_other_landings
from mobexport.pipeline.jobs.source import JobSource
from mobexport.pipeline.notify import make_event, make_finding_event
from mobexport.pipeline.process.processor import Processor
from mobexport.pipeline.registry.destinations import Destinations
from mobexport.pipeline.registry.export_row import ExportRow, shortened
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.registry.states import State, end_state
from mobexport.redact import redact
from mobexport.settings import REJECT_ALERT
from mobexport.storage import DataStorage
from mobexport.telemetry import metrics
from mobexport.telemetry.logs import get_logger
from mobexport.wire import MAX_TEXT, AttemptRef, Failure, Outcome

_log = get_logger(__name__)

# Start of the log line that the queries of docs/operations.md look for; a test compares them.
ENDED_EXPORT: Final = "export ended:"


_RAW_MEASURES: Final = ("read", "rejected", "outside", "superseded", "removed", "exported")
# States of an ended attempt whose job may still be running.
_LEAVES_A_JOB: Final = (State.CANCELLED, State.TIMED_OUT)


@dataclass(frozen=True)
class Finisher:
    """Ends attempts over one registry and one data account."""

    registry: Registry
    storage: DataStorage
    processor: Processor
    source: Callable[[str], JobSource]
    """Job source of an app, by its name."""
    reject_alert: Callable[[str], float] = lambda _: REJECT_ALERT
    """Share of rejects of an app, by its name, beyond which there is an event."""

    def finish(self, ref: AttemptRef, outcome: Outcome, row: ExportRow | None = None) -> ExportRow:
        """Ends the attempt by the outcome of its last step; the row as it is then. `row`: as just read.

        With the same write its notifications become pending, so that none is forgotten. A commit that had
        begun is completed: its pointers may show already. Raises Transient to be repeated.
        """
        row = row or self.registry.attempt(ref)
        if row.committing and row.manifest is None and not row.state.terminal:
            row = self.processor.commit(ref)
        found = row.state

        def end(now: ExportRow) -> ExportRow:
            nonlocal found
            found = now.state
            return _end(now, outcome.failure, self.reject_alert(now.request.app))

        row = self.registry.change(ref, end, row)
        if row.state.terminal and not found.terminal:
            # This very write ended the attempt; whoever repeats the step finds it ended.
            report(row, self.reject_alert(row.request.app))
        if row.job_id and row.state in _LEAVES_A_JOB:
            self._abort(row, row.job_id)
        if row.request.destination is not None:
            Destinations(self.storage).delete(ref)
        if row.manifest is None:
            # The container of a success stays for a while: the tick looks for late files.
            self.drop_landings(row)
        return row

    def _abort(self, row: ExportRow, job_id: str) -> None:
        try:
            self.source(row.request.app).abort(row.request, job_id)
        except MobexportError as error:
            # It is recorded as left behind; the export does not depend on it.
            _log.warning("export %s: job %s goes on: %s", row.id, job_id, redact(error.message))

    def drop_landings(self, row: ExportRow) -> None:
        """Deletes the landing containers of an attempt that has ended."""
        drop_other_landings(self.storage, row)
        if row.landing is None:
            return
        self.storage.delete_container(row.landing)
        self.registry.amend(
            row.id, lambda now: replace(now, landing=None) if now.landing == row.landing else None
        )


def report(row: ExportRow, reject_alert: float) -> None:
    """Counts an attempt that has ended, and logs its measures in one line, and each finding in one."""
    account = row.account or {"raw": None}
    raw = account["raw"]
    measures = {
        "state": str(row.state),
        "exportType": row.request.export_type,
        "app": row.request.app,
        "error": row.error["code"] if row.error else None,
        "seconds": row.seconds,
        "rows": account.get("rows") or 0,
        "rejected": account.get("rejected") or 0,
        "rules": account.get("rules", {}),
        # None is unknown: this Export API tells no counts, or the attempt ended before it did.
        **{f"raw{name.title()}": raw[name] if raw else None for name in _RAW_MEASURES},
        "rawRules": raw["rules"] if raw else None,
        "balances": account.get("balances"),
        "empty": why_empty(account) if row.state is State.EMPTY else None,
        "bytes": row.progress.get("bytes", 0),
    }
    metrics.attempt_ended(measures)
    _log.info("%s %s", ENDED_EXPORT, json.dumps(measures))
    if account.get("balances") is False:
        _log.error("export %s: the counts do not add up: %s", row.id, json.dumps(account))
    about = {"app": row.request.app, "exportType": row.request.export_type}
    for found in _findings(row, reject_alert):
        _log.warning("%s %s", LINES[found.kind], json.dumps({**about, **found.data}))


def _findings(row: ExportRow, reject_alert: float) -> tuple[Finding, ...]:
    account = row.account
    return find(account, reject_alert) if account and row.state.event == "completed" else ()


def _end(row: ExportRow, failure: Failure | None, reject_alert: float) -> ExportRow:
    if row.committing and row.manifest is None:
        raise Transient(f"the commit of export {row.id!r} is under way")
    state = end_state(
        row.state,
        failure,
        cancelled=row.cancel_requested,
        committed=row.manifest is not None,
        records=(row.counts or {}).get("records", 0),
    )
    left = (row.job_id,) if row.job_id and state in _LEAVES_A_JOB else ()
    failed = state in (State.FAILED, State.TIMED_OUT, State.CANCELLED)
    ended = replace(
        row,
        state=state,
        ended_at=stamp(),
        error=_shown(failure) if failed and failure else None,
        orphans=shortened((*row.orphans, *left)),
    )
    event = state.event
    if event is None or not row.request.notify or row.state.terminal:
        return ended
    pending = {"event": event, "state": "Pending", "tries": 0, "at": stamp()}
    told = ended.with_event(make_event(ended, event), pending)
    for one in _findings(ended, reject_alert):
        told = told.with_event(make_finding_event(ended, one), {**pending, "event": one.kind}, one.kind)
    return told


def _shown(failure: Failure) -> dict[str, Any]:
    return {"code": failure.code, "kind": failure.kind, "message": redact(failure.message)[:MAX_TEXT]}
