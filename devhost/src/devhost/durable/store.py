"""The host's state in one SQLite file: instances, histories, inboxes, timers, activities, triggers.

Every public method is one transaction. Write-ahead logging with synchronous=NORMAL survives a killed process
(a power cut may lose the last moments, never the consistency).
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from devhost.durable.commit_points import CommitPoint
from devhost.durable.history import Event, Kind
from devhost.durable.model import PENDING, TERMINAL, ActivityCall, Instance, Message, NewChild, Outcome
from devhost.errors import StateDamagedError
from devhost.timestamps import from_micros, micros, parse_stamp

_SCHEMA = """
CREATE TABLE IF NOT EXISTS instance (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT, execution_id TEXT NOT NULL, status TEXT NOT NULL,
  input TEXT, output TEXT,
  custom_status TEXT, created INTEGER NOT NULL, updated INTEGER NOT NULL, generation INTEGER NOT NULL,
  parent TEXT,
  seeded INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history (instance_id TEXT NOT NULL, seq INTEGER NOT NULL, event TEXT NOT NULL,
  PRIMARY KEY (instance_id, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, instance_id TEXT NOT NULL,
  execution_id TEXT, event TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS inbox_instance ON inbox (instance_id);
CREATE TABLE IF NOT EXISTS timer (instance_id TEXT NOT NULL, execution_id TEXT NOT NULL,
  timer_id INTEGER NOT NULL, due INTEGER NOT NULL,
  event TEXT NOT NULL, PRIMARY KEY (instance_id, execution_id, timer_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS timer_due ON timer (due);
CREATE TABLE IF NOT EXISTS activity (seq INTEGER PRIMARY KEY AUTOINCREMENT, instance_id TEXT NOT NULL,
  execution_id TEXT NOT NULL,
  task_id INTEGER NOT NULL, name TEXT NOT NULL, input TEXT);
CREATE INDEX IF NOT EXISTS activity_instance ON activity (instance_id);
CREATE TABLE IF NOT EXISTS timer_status (function TEXT PRIMARY KEY, status TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blob_receipt (function TEXT NOT NULL, container TEXT NOT NULL,
  blob TEXT NOT NULL, etag TEXT NOT NULL,
  PRIMARY KEY (function, container, blob)) WITHOUT ROWID;
"""
_COLUMNS = (
    "id, name, version, execution_id, status, input, output, custom_status,"
    " created, updated, generation, parent, seeded"
)
_SELECT_HISTORY = "SELECT event FROM history WHERE instance_id = ? ORDER BY seq"
_SELECT_INSTANCE = f"SELECT {_COLUMNS} FROM instance WHERE id = ?"  # noqa: S608 - a constant


def _instance(row: Sequence[Any]) -> Instance:
    values: list[Any] = [*row[:8], from_micros(row[8]), from_micros(row[9]), row[10]]
    values += [json.loads(row[11]) if row[11] else None, bool(row[12])]
    return Instance(*values)


def _point_of(outcome: Outcome) -> CommitPoint:
    if outcome.next_generation is not None:
        return CommitPoint.NEXT_GENERATION
    return CommitPoint.END if outcome.status in TERMINAL else CommitPoint.EPISODE


def _connect(path: Path | str) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


class Store:
    """Thread-safe store in a file, or ":memory:" for one that ends with the process.

    Raises StateDamagedError when the file cannot be read.
    """

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.Lock()
        self._db = _connect(path)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
            (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            found = str(error)
        if found != "ok":
            self._db.close()
            raise StateDamagedError(
                f"the state file {path} cannot be read ({found}): remove it, or choose another folder"
                " with --state"
            )
        # Readers do not wait for the writer: with one connection for both, status calls hold up episodes.
        in_memory = str(path) == ":memory:"
        self._reader = self._db if in_memory else _connect(path)
        self._reader_lock = self._lock if in_memory else threading.Lock()

    def close(self) -> None:
        with self._reader_lock:
            self._reader.close()
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self, point: CommitPoint) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._commit(point)
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _commit(self, point: CommitPoint) -> None:
        del point  # for the chaos tests, which override this
        self._db.execute("COMMIT")

    @staticmethod
    def _find(db: sqlite3.Connection, instance_id: str) -> Instance | None:
        """An instance as it is inside a transaction."""
        row = db.execute(_SELECT_INSTANCE, (instance_id,)).fetchone()
        return _instance(row) if row else None

    def _rows(self, sql: str, *args: Any) -> list[Any]:
        """Committed rows; not for use inside a transaction."""
        with self._reader_lock:
            return self._reader.execute(sql, args).fetchall()

    # --- instances ----------------------------------------------------------------------------------------

    def instance(self, instance_id: str) -> Instance | None:
        rows = self._rows(_SELECT_INSTANCE, instance_id)
        return _instance(rows[0]) if rows else None

    def instances(
        self,
        *,
        after: str = "",
        limit: int | None = None,
        statuses: Sequence[str] = (),
        created_from: datetime | None = None,
        created_to: datetime | None = None,
        prefix: str = "",
    ) -> list[Instance]:
        """Instances from id `after` (included) on, in the order of their ids."""
        where, args = ["id >= ?"], [after]
        if statuses:
            where.append(f"status IN ({','.join('?' * len(statuses))})")
            args += statuses
        if created_from is not None:
            where.append("created >= ?")
            args.append(micros(created_from))  # type: ignore[arg-type]
        if created_to is not None:
            where.append("created <= ?")
            args.append(micros(created_to))  # type: ignore[arg-type]
        if prefix:
            where.append("substr(id, 1, ?) = ?")
            args += [len(prefix), prefix]  # type: ignore[list-item]
        tail = "" if limit is None else f" LIMIT {int(limit)}"
        sql = f"SELECT {_COLUMNS} FROM instance WHERE {' AND '.join(where)} ORDER BY id{tail}"  # noqa: S608 - constants and placeholders
        return [_instance(row) for row in self._rows(sql, *args)]

    def history(self, instance_id: str) -> list[Event]:
        rows = self._rows(_SELECT_HISTORY, instance_id)
        return [json.loads(row[0]) for row in rows]

    def start(self, started: Event) -> Instance | None:
        """Create the instance of an ExecutionStarted event, over a terminal one if there is one.

        Gives the existing instance, and changes nothing, if one with this id is still going.
        """
        instance_id = started["OrchestrationInstance"]["InstanceId"]
        with self._transaction(CommitPoint.START) as db:
            existing = self._find(db, instance_id)
            if existing is not None and not existing.is_terminal:
                return existing
            generation = 0 if existing is None else existing.generation + 1
            self._create(db, {**started, "Generation": generation}, generation)
        return None

    def _create(self, db: sqlite3.Connection, started: Event, generation: int) -> None:
        instance_id = started["OrchestrationInstance"]["InstanceId"]
        self._wipe(db, instance_id)
        at = micros(parse_stamp(started["Timestamp"]))
        parent = json.dumps(started["ParentInstance"]) if started["ParentInstance"] else None
        db.execute(
            f"INSERT INTO instance ({_COLUMNS}) VALUES (?,?,?,?,?,?,NULL,NULL,?,?,?,?,0)",  # noqa: S608 - a constant
            (
                instance_id,
                started["Name"],
                started["Version"],
                started["OrchestrationInstance"]["ExecutionId"],
                PENDING,
                started["Input"],
                at,
                at,
                generation,
                parent,
            ),
        )
        self._post(db, instance_id, started, None)

    @staticmethod
    def _wipe(db: sqlite3.Connection, instance_id: str) -> None:
        db.execute("DELETE FROM instance WHERE id = ?", (instance_id,))
        for table in ("history", "inbox", "timer", "activity"):
            db.execute(f"DELETE FROM {table} WHERE instance_id = ?", (instance_id,))  # noqa: S608 - constants

    def purge(self, instance_ids: Sequence[str]) -> int:
        """Delete instances with all that belongs to them; gives how many there were."""
        count = 0
        with self._transaction(CommitPoint.PURGE) as db:
            for instance_id in instance_ids:
                count += self._find(db, instance_id) is not None
                self._wipe(db, instance_id)
        return count

    # --- messages -----------------------------------------------------------------------------------------

    @staticmethod
    def _post(db: sqlite3.Connection, instance_id: str, event: Event, execution_id: str | None) -> None:
        db.execute(
            "INSERT INTO inbox (instance_id, execution_id, event) VALUES (?,?,?)",
            (instance_id, execution_id, json.dumps(event, ensure_ascii=False)),
        )

    def post(self, instance_id: str, event: Event) -> Instance | None:
        """Put an event into the inbox of a live instance; gives the instance as it was (None: unknown)."""
        with self._transaction(CommitPoint.POST) as db:
            instance = self._find(db, instance_id)
            if instance is not None and not instance.is_terminal:
                self._post(db, instance_id, event, None)
        return instance

    def inbox(self, instance_id: str) -> list[Message]:
        rows = self._rows(
            "SELECT seq, execution_id, event FROM inbox WHERE instance_id = ? ORDER BY seq", instance_id
        )
        return [Message(seq, execution_id, json.loads(event)) for seq, execution_id, event in rows]

    def discard(self, messages: Sequence[Message]) -> None:
        """Delete messages that nobody gets."""
        with self._transaction(CommitPoint.PURGE) as db:
            db.executemany("DELETE FROM inbox WHERE seq = ?", [(m.seq,) for m in messages])

    def lose(self, instance_id: str | None) -> int:
        """Delete what waits in the control queue of an instance, or of all; gives the number of messages.

        Those of timers wait there too. Messages that start an instance stay.
        """
        started = int(Kind.EXECUTION_STARTED)
        where = "json_extract(event, '$.EventType') <> ? AND (? IS NULL OR instance_id = ?)"
        with self._transaction(CommitPoint.PURGE) as db:
            counts = [
                db.execute(f"DELETE FROM {table} WHERE {where}", (started, instance_id, instance_id)).rowcount  # noqa: S608 - constants
                for table in ("inbox", "timer")
            ]
        return sum(counts)

    def waiting_instances(self) -> list[str]:
        """Instances with an episode to run, first come first."""
        rows = self._rows("SELECT instance_id FROM inbox GROUP BY instance_id ORDER BY MIN(seq)")
        seeded = self._rows("SELECT id FROM instance WHERE seeded = 1")
        return list(dict.fromkeys(row[0] for row in [*seeded, *rows]))

    def has_work(self, instance_id: str) -> bool:
        return bool(
            self._rows(
                "SELECT 1 FROM inbox WHERE instance_id = ?"
                " UNION ALL SELECT 1 FROM instance WHERE id = ? AND seeded = 1 LIMIT 1",
                instance_id,
                instance_id,
            )
        )

    # --- episodes -----------------------------------------------------------------------------------------

    def commit_episode(
        self, before: Instance, consumed: Sequence[Message], outcome: Outcome
    ) -> list[ActivityCall] | None:
        """Write one episode; gives the activities to run, or None if the instance was replaced meanwhile."""
        with self._transaction(_point_of(outcome)) as db:
            current = self._find(db, before.id)
            if current is None or current.execution_id != before.execution_id:
                return None
            db.executemany("DELETE FROM inbox WHERE seq = ?", [(m.seq,) for m in consumed])
            if outcome.next_generation is not None:
                self._next_generation(db, before, outcome)
                return []
            self._append_history(db, before.id, outcome.events)
            db.execute(
                "UPDATE instance SET status = ?, output = ?, custom_status = ?, updated = ?, seeded = 0"
                " WHERE id = ?",
                (outcome.status, outcome.output, outcome.custom_status, micros(outcome.updated), before.id),
            )
            if outcome.to_parent is not None and before.parent is not None:
                self._tell_parent(db, before.parent, outcome.to_parent)
            if outcome.status in TERMINAL:
                for table in ("inbox", "timer"):
                    db.execute(f"DELETE FROM {table} WHERE instance_id = ?", (before.id,))  # noqa: S608 - constants
            db.executemany(
                "INSERT INTO timer VALUES (?,?,?,?,?)",
                [
                    (before.id, before.execution_id, t.timer_id, micros(t.fire_at), json.dumps(t.fired))
                    for t in outcome.timers
                    if outcome.status not in TERMINAL
                ],
            )
            for child in outcome.children:
                self._start_child(db, child)
            return [self._add_activity(db, before, a.task_id, a.name, a.input) for a in outcome.activities]

    @staticmethod
    def _append_history(db: sqlite3.Connection, instance_id: str, events: Sequence[Event]) -> None:
        (first,) = db.execute(
            "SELECT COALESCE(MAX(seq) + 1, 0) FROM history WHERE instance_id = ?", (instance_id,)
        ).fetchone()
        rows = [(instance_id, first + i, json.dumps(e, ensure_ascii=False)) for i, e in enumerate(events)]
        db.executemany("INSERT INTO history VALUES (?,?,?)", rows)

    def _next_generation(self, db: sqlite3.Connection, before: Instance, outcome: Outcome) -> None:
        """Replace the execution; results of the old one's activities will not match the new id."""
        following = outcome.next_generation
        assert following is not None
        for table in ("history", "timer"):
            db.execute(f"DELETE FROM {table} WHERE instance_id = ?", (before.id,))  # noqa: S608 - constants
        self._append_history(db, before.id, following.history)
        db.execute(
            "UPDATE instance SET execution_id = ?, input = ?, status = 'Running', output = NULL,"
            " custom_status = ?, created = ?, updated = ?, seeded = 1 WHERE id = ?",
            (
                following.execution_id,
                following.input,
                outcome.custom_status,
                micros(following.created),
                micros(outcome.updated),
                before.id,
            ),
        )

    def _start_child(self, db: sqlite3.Connection, child: NewChild) -> None:
        """Create a sub-orchestration, over any instance of its id, running or not, as on the real host."""
        existing = self._find(db, child.instance_id)
        self._create(db, child.started, 0 if existing is None else existing.generation + 1)

    def _tell_parent(self, db: sqlite3.Connection, parent: Event, event: Event) -> None:
        instance = self._find(db, parent["OrchestrationInstance"]["InstanceId"])
        execution_id = parent["OrchestrationInstance"]["ExecutionId"]
        if instance is not None and not instance.is_terminal and instance.execution_id == execution_id:
            self._post(db, instance.id, event, execution_id)

    # --- timers -------------------------------------------------------------------------------------------

    def next_due(self) -> datetime | None:
        (due,) = self._rows("SELECT MIN(due) FROM timer")[0]
        return None if due is None else from_micros(due)

    def fire_due(self, now: datetime) -> list[str]:
        """Turn due timers into messages; gives the instances that got one."""
        due = self.next_due()
        if due is None or due > now:
            return []
        with self._transaction(CommitPoint.TIMERS_FIRED) as db:
            rows = db.execute(
                "SELECT instance_id, execution_id, timer_id, event FROM timer WHERE due <= ? ORDER BY due",
                (micros(now),),
            ).fetchall()
            for instance_id, execution_id, timer_id, event in rows:
                db.execute(
                    "INSERT INTO inbox (instance_id, execution_id, event) VALUES (?,?,?)",
                    (instance_id, execution_id, event),
                )
                db.execute(
                    "DELETE FROM timer WHERE instance_id = ? AND execution_id = ? AND timer_id = ?",
                    (instance_id, execution_id, timer_id),
                )
        return list(dict.fromkeys(row[0] for row in rows))

    def timers(self, instance_id: str) -> list[tuple[int, datetime]]:
        rows = self._rows("SELECT timer_id, due FROM timer WHERE instance_id = ? ORDER BY due", instance_id)
        return [(timer_id, from_micros(due)) for timer_id, due in rows]

    # --- activities ---------------------------------------------------------------------------------------

    @staticmethod
    def _add_activity(
        db: sqlite3.Connection, instance: Instance, task_id: int, name: str, input_text: str | None
    ) -> ActivityCall:
        cursor = db.execute(
            "INSERT INTO activity (instance_id, execution_id, task_id, name, input) VALUES (?,?,?,?,?)",
            (instance.id, instance.execution_id, task_id, name, input_text),
        )
        seq = cursor.lastrowid
        assert seq is not None
        return ActivityCall(seq, instance.id, instance.execution_id, task_id, name, input_text)

    def activities(self) -> list[ActivityCall]:
        """Activities without a result, oldest first: after a restart all of them run again."""
        rows = self._rows(
            "SELECT seq, instance_id, execution_id, task_id, name, input FROM activity ORDER BY seq"
        )
        return [ActivityCall(*row) for row in rows]

    def complete_activity(self, call: ActivityCall, event: Event) -> bool:
        """Write an activity's result; False if it is dropped.

        That is when its instance has ended or moved on, or another run of the activity was first.
        """
        with self._transaction(CommitPoint.ACTIVITY_DONE) as db:
            first = db.execute("DELETE FROM activity WHERE seq = ?", (call.seq,)).rowcount
            instance = self._find(db, call.instance_id)
            if (
                not first
                or instance is None
                or instance.is_terminal
                or instance.execution_id != call.execution_id
            ):
                return False
            self._post(db, call.instance_id, event, call.execution_id)
            return True

    # --- trigger bookkeeping ------------------------------------------------------------------------------

    def timer_status(self, function: str) -> dict[str, Any] | None:
        rows = self._rows("SELECT status FROM timer_status WHERE function = ?", function)
        return json.loads(rows[0][0]) if rows else None

    def save_timer_status(self, function: str, status: dict[str, Any]) -> None:
        with self._transaction(CommitPoint.TIMER_STATUS) as db:
            db.execute("INSERT OR REPLACE INTO timer_status VALUES (?,?)", (function, json.dumps(status)))

    def blob_receipts(self, function: str, container: str) -> dict[str, str]:
        """The ETag last dealt with, by blob name."""
        rows = self._rows(
            "SELECT blob, etag FROM blob_receipt WHERE function = ? AND container = ?", function, container
        )
        return dict(rows)

    def save_blob_receipt(self, function: str, container: str, blob: str, etag: str) -> None:
        with self._transaction(CommitPoint.BLOB_RECEIPT) as db:
            db.execute(
                "INSERT OR REPLACE INTO blob_receipt VALUES (?,?,?,?)", (function, container, blob, etag)
            )
