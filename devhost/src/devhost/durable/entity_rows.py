"""The store's transactions about entities; a part of `Store`."""

from __future__ import annotations

import sqlite3
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager

from devhost.durable.commit_points import CommitPoint
from devhost.durable.entities import EntityOutcome
from devhost.durable.history import Event
from devhost.durable.model import RUNNING, Instance, Message
from devhost.timestamps import micros, parse_stamp

_EXISTS = '{"entityExists":true}'


class EntityRows(ABC):
    """An entity is a row of the instance table that never ends; its messages lie in the inbox."""

    @abstractmethod
    def _transaction(self, point: CommitPoint) -> AbstractContextManager[sqlite3.Connection]: ...

    @staticmethod
    @abstractmethod
    def _find(db: sqlite3.Connection, instance_id: str) -> Instance | None: ...

    @staticmethod
    @abstractmethod
    def _post(db: sqlite3.Connection, instance_id: str, event: Event, execution_id: str | None) -> None: ...

    @staticmethod
    @abstractmethod
    def _wipe(db: sqlite3.Connection, instance_id: str) -> None: ...

    def send_to_entity(self, entity: str, event: Event) -> None:
        with self._transaction(CommitPoint.ENTITY_SIGNAL) as db:
            self._send(db, entity, event)

    def _send(self, db: sqlite3.Connection, entity: str, event: Event) -> None:
        """The first message makes the entity."""
        if self._find(db, entity) is None:
            at = micros(parse_stamp(event["Timestamp"]))
            db.execute(
                "INSERT INTO instance (id, name, execution_id, status, created, updated, generation)"
                " VALUES (?,?,?,?,?,?,0)",
                (entity, entity, uuid.uuid4().hex, RUNNING, at, at),
            )
        self._post(db, entity, event, None)

    def commit_entity(self, entity: Instance, consumed: Sequence[Message], outcome: EntityOutcome) -> None:
        """Write one batch: the new state, and answers to the callers that still wait."""
        with self._transaction(CommitPoint.ENTITY_BATCH) as db:
            db.executemany("DELETE FROM inbox WHERE seq = ?", [(m.seq,) for m in consumed])
            at = micros(outcome.updated)
            waiting = db.execute("SELECT 1 FROM inbox WHERE instance_id = ?", (entity.id,)).fetchone()
            if outcome.state is None and not waiting:
                self._wipe(db, entity.id)
            else:
                exists = None if outcome.state is None else _EXISTS
                db.execute(
                    "UPDATE instance SET input = ?, custom_status = ?, updated = ? WHERE id = ?",
                    (outcome.state, exists, at, entity.id),
                )
            for answer in outcome.answers:
                caller = self._find(db, answer.instance_id)
                if caller and not caller.is_terminal and caller.execution_id == answer.execution_id:
                    self._post(db, answer.instance_id, answer.event, answer.execution_id)
