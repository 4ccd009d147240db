"""One export's timeline across both halves, read from a running app.

The registry says which instances there are; Durable's management API has their histories.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from mobexport import durable_names as names
from mobexport.clock import stamp
from mobexport.errors import NotFound, Transient
from mobexport.redact import redact
from mobexport.wire import AttemptRef

_TIMEOUT = (5, 30)


@dataclass(frozen=True, order=True)
class Line:
    """One thing that happened; sorts by time."""

    at: datetime
    instance: str
    what: str


def print_trace(export_id: str, url: str, code: str | None, *, as_json: bool = False) -> int:
    """Prints the timeline of the export's newest attempt; 0. Raises NotFound, Transient.

    `url` is the app's origin, `code` a function key or the Durable system key where keys are asked for.
    """
    client = _Client(url.rstrip("/"), code)
    try:
        export = client.get(f"/api/exports/{export_id}")
        if export is None:
            raise NotFound(f"there is no export {export_id!r} at {url}")
        lines = sorted(line for instance in _instances(export) for line in _history(client, instance))
    except requests.RequestException as error:
        raise Transient(f"cannot read from {url}: {type(error).__name__}; is the app running?") from None
    if as_json:
        told = [{"at": stamp(line.at), "instance": line.instance, "what": line.what} for line in lines]
        shown = {name: export[name] for name in ("id", "attempt", "state", "counts")}
        print(json.dumps({**shown, "lines": told}, ensure_ascii=False, indent=2))
        return 0
    print(f"{export['id']}  attempt {export['attempt']}  {export['state']}")
    if not lines:
        print("no history is left: it is purged after a while, the export's row stays")
        return 0
    start = lines[0].at
    for line in lines:
        seconds = (line.at - start).total_seconds()
        print(f"{line.at:%H:%M:%S} +{seconds:8.3f}s  {line.instance:<8}  {line.what}")
    if counts := export["counts"]:
        print("\n".join(_account(counts)))
    if empty := export.get("empty"):
        print(f"empty: {empty}")
    return 0


_RAW = ("rejected", "outside", "superseded", "removed", "exported")


def _account(counts: Mapping[str, Any]) -> Iterator[str]:
    """Both halves of the account: raw records, records of the file."""
    if raw := counts.get("raw"):
        yield f"{raw['read']} raw records = " + " + ".join(f"{raw[name]} {name}" for name in _RAW)
    else:
        yield f"raw records {counts.get('rawUnknown', 'unknown')}"
    if counts["records"] is not None:
        yield f"{counts['records']} records = {counts['rows']} rows + {counts['rejected']} rejects"
    places = [raw["rejects"]] if raw and raw.get("rejects") else []
    for place in (*places, *counts.get("rejects", ())):
        yield f"rejects: {place}"
    if counts.get("balances") is False:
        yield "THE COUNTS DO NOT ADD UP"


class _Client:
    def __init__(self, url: str, code: str | None) -> None:
        self._url = url
        self._headers = {"x-functions-key": code} if code else {}

    def get(self, path: str, **params: str) -> Any:
        answer = requests.get(self._url + path, params=params, headers=self._headers, timeout=_TIMEOUT)
        if answer.status_code == 404:
            return None
        if answer.status_code not in (200, 202):
            raise requests.HTTPError(f"HTTP {answer.status_code}")
        return answer.json()


def _instances(export: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(label, instance id) of all instances of the newest attempt."""
    ref = AttemptRef(export["id"], export["attempt"])
    yield "run", names.run_instance(ref)
    if export["jobId"]:
        yield "serve", names.task_instance(export["jobId"])
    yield "process", names.process_instance(ref)
    for target, delivery in export["deliveries"].items():
        for resent in range(delivery.get("resent", 0) + 1):
            yield "notify", names.notify_instance(ref, target, resent)


def _history(client: _Client, instance: tuple[str, str]) -> Iterator[Line]:
    label, instance_id = instance
    found = client.get(f"/runtime/webhooks/durabletask/instances/{instance_id}", showHistory="true")
    for event in (found or {}).get("historyEvents") or []:
        text = _describe(event)
        if text:
            # A TimerFired is stamped with its creation; when it fired, only FireAt tells.
            yield Line(_instant(event.get("FireAt") or event["Timestamp"]), label, redact(text))


def _describe(event: Mapping[str, Any]) -> str | None:
    kind, name = event["EventType"], event.get("FunctionName") or event.get("Name") or ""
    match kind:
        case "ExecutionStarted":
            return f"{name} started"
        case "TaskCompleted" | "SubOrchestrationInstanceCompleted":
            return f"{name} done{_took(event)}"
        case "TaskFailed" | "SubOrchestrationInstanceFailed":
            reason = str(event.get("Reason") or "no reason given")
            return f"{name} failed: {reason.splitlines()[0]}"
        case "TaskScheduled" | "SubOrchestrationInstanceCreated":
            return f"{name} under way"
        case "TimerFired":
            return "timer fired"
        case "EventRaised":
            return f"event {name!r}"
        case "ExecutionCompleted" | "ExecutionTerminated":
            return f"ended: {event.get('OrchestrationStatus') or kind}"
    return None


def _took(event: Mapping[str, Any]) -> str:
    if "ScheduledTime" not in event:
        return ""
    seconds = (_instant(event["Timestamp"]) - _instant(event["ScheduledTime"])).total_seconds()
    return f" ({seconds:.3f} s)"


def _instant(text: str) -> datetime:
    # The host writes UTC with up to 7 digits, as `…Z` or `…+00:00`; Python reads 6.
    return datetime.fromisoformat(text.partition("+")[0].rstrip("Z")[:26]).replace(tzinfo=UTC)
