"""The metrics, all in one place; docs/operations.md lists them.

Each is recorded after the write that made it true, so an activity that runs twice counts once. A process that
dies between that write and its next report loses the count: at most once, never twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry import metrics

_meter = metrics.get_meter("mobexport")
_exports = _meter.create_counter("mobexport.exports", "{attempt}", "Attempts that ended, by state")
_phases = _meter.create_histogram("mobexport.phase.duration", "s", "Seconds that attempts spent in a phase")
_rows = _meter.create_counter("mobexport.rows", "{row}", "Rows of committed Parquet")
_rejects = _meter.create_counter(
    "mobexport.rejects", "{record}", "Records of export files that were rejected"
)
_raw_rejects = _meter.create_counter(
    "mobexport.raw.rejects", "{record}", "Raw records that were rejected, where the Export API tells them"
)
_bytes = _meter.create_counter("mobexport.bytes", "By", "Bytes of collected export files")
_calls = _meter.create_counter("mobexport.api.calls", "{call}", "Calls of the Export API, by result")
_deliveries = _meter.create_counter("mobexport.notifications", "{try}", "Tries to notify, by result")
_lost = _meter.create_counter(
    "mobexport.orchestrations.lost",
    "{instance}",
    "Orchestrations that the platform lost, by reason",
)


def attempt_ended(measures: Mapping[str, Any]) -> None:
    """`{state, exportType, seconds: {phase: …}, rows, rejected, bytes}` of an attempt that has just ended."""
    kind = {"export_type": measures["exportType"]}
    _exports.add(1, {**kind, "state": measures["state"]})
    for phase, seconds in measures["seconds"].items():
        _phases.record(seconds, {**kind, "phase": phase})
    for counter, name in ((_rows, "rows"), (_rejects, "rejected"), (_bytes, "bytes")):
        counter.add(measures[name], kind)
    if measures.get("rawRejected") is not None:
        _raw_rejects.add(measures["rawRejected"], kind)


def api_called(method: str, result: str) -> None:
    """A call of the Export API was made: HTTP status, or what kept it from having one. Each call counts."""
    _calls.add(1, {"method": method, "result": result})


def orchestration_lost(name: str, reason: str) -> None:
    """An orchestration of that name was lost by the platform: `gone` or `stuck`."""
    _lost.add(1, {"orchestrator": name, "reason": reason})


def notification_tried(state: str) -> None:
    """A try to notify was made, and kept as that state."""
    _deliveries.add(1, {"state": state})
