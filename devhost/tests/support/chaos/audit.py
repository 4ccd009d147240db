"""Audit of a stopped host's state: whole histories, nothing doubled, nothing left over."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from devhost.durable.history import Event, Kind
from devhost.durable.model import TERMINAL

_DECISIONS = (Kind.TASK_SCHEDULED, Kind.SUB_CREATED, Kind.TIMER_CREATED)
_COMPLETES = {
    Kind.TASK_COMPLETED: (Kind.TASK_SCHEDULED, "TaskScheduledId"),
    Kind.TASK_FAILED: (Kind.TASK_SCHEDULED, "TaskScheduledId"),
    Kind.SUB_COMPLETED: (Kind.SUB_CREATED, "TaskScheduledId"),
    Kind.SUB_FAILED: (Kind.SUB_CREATED, "TaskScheduledId"),
    Kind.TIMER_FIRED: (Kind.TIMER_CREATED, "TimerId"),
}
_BELONGINGS = ("history", "inbox", "timer", "activity")


def audit(path: Path) -> Iterator[str]:
    """Every rule the state of a stopped host breaks, when all of its orchestrations should have ended."""
    with closing(sqlite3.connect(path)) as db:
        yield from (f"file: {row[0]}" for row in db.execute("PRAGMA integrity_check") if row[0] != "ok")
        instances = {
            name: (status, seeded)
            for name, status, seeded in db.execute("SELECT id, status, seeded FROM instance")
        }
        for name, (status, seeded) in instances.items():
            if status not in TERMINAL or seeded:
                yield f"{name}: stuck, {status}{' before its next generation' if seeded else ''}"
        for table in _BELONGINGS:
            for name, count in db.execute(f"SELECT instance_id, COUNT(*) FROM {table} GROUP BY instance_id"):
                if name not in instances:
                    yield f"{name}: unknown, but has {count} rows in {table}"
                elif table != "history" and instances[name][0] in TERMINAL:
                    yield f"{name}: ended, but has {count} rows in {table}"
        for name, (status, _) in instances.items():
            rows = db.execute("SELECT seq, event FROM history WHERE instance_id = ? ORDER BY seq", (name,))
            numbered = [(number, json.loads(text)) for number, text in rows]
            if [number for number, _ in numbered] != list(range(len(numbered))):
                yield f"{name}: its history has gaps"
            for problem in check_history([event for _, event in numbered], ended=status in TERMINAL):
                yield f"{name}: {problem}"


def check_history(events: Sequence[Event], *, ended: bool) -> Iterator[str]:
    """What is wrong with the history of one execution."""
    kinds = Counter(Kind(event["EventType"]) for event in events)
    if kinds[Kind.EXECUTION_STARTED] != 1:
        yield f"started {kinds[Kind.EXECUTION_STARTED]} times"
    if ended and kinds[Kind.EXECUTION_COMPLETED] != 1:
        yield f"completed {kinds[Kind.EXECUTION_COMPLETED]} times"
    yield from _check_batches(events)
    yield from _check_numbers(events)
    for (name, given), count in Counter(
        (e["Name"], e["Input"]) for e in events if e["EventType"] == Kind.EVENT_RAISED
    ).items():
        if count > 1:
            yield f"event {name} {given} came {count} times"


def _check_batches(events: Sequence[Event]) -> Iterator[str]:
    opened, last = False, ""
    for event in events:
        if event["EventType"] == Kind.ORCHESTRATOR_STARTED:
            if opened:
                yield "a batch began inside another"
            if event["Timestamp"] == last:
                yield f"two batches at {last}"
            opened, last = True, event["Timestamp"]
        elif event["EventType"] == Kind.ORCHESTRATOR_COMPLETED:
            opened = False
    if opened or not events:
        yield "its last batch was not closed"


def _check_numbers(events: Sequence[Event]) -> Iterator[str]:
    begun: dict[int, Kind] = {}
    ended: set[int] = set()
    for event in events:
        kind = Kind(event["EventType"])
        if kind in _DECISIONS:
            number = event["EventId"]
            if number in begun:
                yield f"number {number} was given twice"
            begun[number] = kind
        elif kind in _COMPLETES:
            wanted, key = _COMPLETES[kind]
            number = event[key]
            if begun.get(number) is not wanted:
                yield f"{kind.name} for number {number}, which is no {wanted.name}"
            elif number in ended:
                yield f"{kind.name} for number {number} came twice"
            ended.add(number)
    if sorted(begun) != list(range(len(begun))):
        yield f"numbers are missing: {sorted(begun)}"
