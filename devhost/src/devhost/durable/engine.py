"""Orchestration engine: the operations of clients and workers, each one transaction of the store."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from devhost.durable import history as h
from devhost.durable import texts
from devhost.durable.actions import Known
from devhost.durable.episode import OrchestratorCall, run_episode
from devhost.durable.history import Event, Kind
from devhost.durable.model import (
    PENDING,
    RUNNING,
    SUSPENDED,
    ActivityCall,
    EpisodeReport,
    Instance,
    Message,
    Outcome,
)
from devhost.durable.store import Store
from devhost.durable.versions import Versioning
from devhost.errors import WorkerExitedError
from devhost.timestamps import utc_now


class Listener(Protocol):
    """Receiver of news about work, after the commit and from any thread."""

    def instance_ready(self, instance_id: str) -> None: ...
    def activity_ready(self, call: ActivityCall) -> None: ...
    def timers_changed(self) -> None: ...
    def warn(self, text: str) -> None: ...


class _Nobody:
    def instance_ready(self, instance_id: str) -> None: ...
    def activity_ready(self, call: ActivityCall) -> None: ...
    def timers_changed(self) -> None: ...
    def warn(self, text: str) -> None: ...


class AlreadyExistsError(Exception):
    """An instance with this id has not ended."""


class NotFoundError(Exception):
    """No instance with this id."""


class EndedError(Exception):
    """The instance has ended."""


class WrongStateError(Exception):
    """The operation is not possible in the instance's state."""


class Engine:
    """Engine over one store; `orchestrators` and `activities` by lower-case name.

    `timer_lead(instance id, timer's number)` says how much too early a timer fires, `loses(instance id, kind
    of event)` whether a message gets lost.
    """

    def __init__(
        self,
        store: Store,
        orchestrators: Mapping[str, OrchestratorCall],
        activities: Sequence[str],
        *,
        names: Sequence[str] = (),
        clock: Callable[[], datetime] = utc_now,
        versioning: Versioning | None = None,
        timer_lead: Callable[[str, int], timedelta] | None = None,
        loses: Callable[[str, str], bool] | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.listener: Listener = _Nobody()
        self._orchestrators = orchestrators
        self._names = names or list(orchestrators)
        self._versioning = versioning or Versioning()
        self._timer_lead = timer_lead
        self._loses = loses
        known = frozenset(activities)
        self.known = Known(
            lambda name: name.lower() in known,
            lambda name: name.lower() in orchestrators,
            self._versioning.default,
        )
        self._warned: set[str] = set()
        self._warned_lock = threading.Lock()

    # --- for clients --------------------------------------------------------------------------------------

    def start(
        self,
        name: str,
        input_text: str | None,
        instance_id: str | None = None,
        version: str | None = None,
        execution_id: str | None = None,
    ) -> str:
        """Start an orchestration; gives its id. Raises AlreadyExistsError.

        `input_text` is JSON text, stored unchanged. As on the real host an unknown name is accepted, and the
        instance fails.
        """
        instance_id = instance_id or uuid.uuid4().hex
        started = h.execution_started(
            self.clock(),
            instance_id=instance_id,
            execution_id=execution_id or str(uuid.uuid4()),
            name=name,
            version=version if version is not None else self._versioning.default,
            input_text=input_text,
            generation=0,
        )
        existing = self.store.start(started)
        if existing is not None:
            raise AlreadyExistsError(texts.already_exists(existing.status))
        self.listener.instance_ready(instance_id)
        return instance_id

    def raise_event(self, instance_id: str, name: str, input_text: str) -> None:
        """Deliver an event. Raises NotFoundError, EndedError."""
        self._post(instance_id, h.event_raised(self.clock(), name, input_text))

    def terminate(self, instance_id: str, reason: str | None) -> None:
        self._post(instance_id, h.execution_terminated(self.clock(), reason))

    def suspend(self, instance_id: str, reason: str | None) -> None:
        self._refuse_unless(instance_id, (PENDING, RUNNING), "suspend")
        self._post(instance_id, h.suspended(self.clock(), reason))

    def resume(self, instance_id: str, reason: str | None) -> None:
        self._refuse_unless(instance_id, (SUSPENDED,), "resume")
        self._post(instance_id, h.resumed(self.clock(), reason))

    def _post(self, instance_id: str, event: Event) -> None:
        instance = self.store.post(instance_id, event)
        if instance is None:
            raise NotFoundError(instance_id)
        if instance.is_terminal:
            raise EndedError(instance_id)
        self.listener.instance_ready(instance_id)

    def _refuse_unless(self, instance_id: str, statuses: Sequence[str], verb: str) -> None:
        instance = self.store.instance(instance_id)
        if instance is None:
            raise NotFoundError(instance_id)
        if not instance.is_terminal and instance.status not in statuses:
            raise WrongStateError(
                f"Cannot {verb} the orchestration instance {instance_id} because instance is in the"
                f" {instance.status} state."
            )

    # --- for workers --------------------------------------------------------------------------------------

    def run_episode(self, instance_id: str) -> EpisodeReport | None:
        """Run one episode if the instance has messages; the caller keeps its episodes apart."""
        instance = self.store.instance(instance_id)
        if instance is None or not self._versioning.runs(instance.version):
            return None
        messages = [] if instance.seeded else self._arrived(instance_id)
        current = [m for m in messages if m.execution_id in (None, instance.execution_id)]
        if not current and not instance.seeded:
            return None
        past = self.store.history(instance_id)
        events = [m.event for m in current]
        call = self._orchestrators.get(instance.name.lower())
        outcome = run_episode(instance, past, events, self.clock(), call, self.known, self._names)
        if self._timer_lead is not None:
            outcome.timers = [
                replace(t, fire_at=t.fire_at - self._timer_lead(instance_id, t.timer_id))
                for t in outcome.timers
            ]
        calls = self.store.commit_episode(instance, messages, outcome)
        if calls is not None:
            self._announce(outcome, calls, instance)
        return EpisodeReport(instance, past, events, outcome)

    def _arrived(self, instance_id: str) -> list[Message]:
        """Messages of an instance but for those that get lost, which are deleted.

        A start is never lost: it would leave an id that nobody can start or end, and no recording of that is
        there to go by.
        """
        messages = self.store.inbox(instance_id)
        if self._loses is None:
            return messages
        lost, arrived = [], []
        for message in messages:
            kind = Kind(message.event["EventType"])
            if kind is not Kind.EXECUTION_STARTED and self._loses(instance_id, kind.name):
                lost.append(message)
                self.listener.warn(f"harsh mode: a message of '{instance_id}' was lost ({kind.name})")
            else:
                arrived.append(message)
        if lost:
            self.store.discard(lost)
        return arrived

    def _announce(self, outcome: Outcome, calls: Sequence[ActivityCall], instance: Instance) -> None:
        for text in outcome.warnings:
            with self._warned_lock:
                new = text not in self._warned
                self._warned.add(text)
            if new:
                self.listener.warn(text)
        for call in calls:
            self.listener.activity_ready(call)
        for child in outcome.children:
            self.listener.instance_ready(child.instance_id)
        if outcome.timers:
            self.listener.timers_changed()
        if outcome.to_parent is not None and instance.parent is not None:
            self.listener.instance_ready(instance.parent["OrchestrationInstance"]["InstanceId"])

    def fire_due_timers(self, now: datetime | None = None) -> None:
        for instance_id in self.store.fire_due(now or self.clock()):
            self.listener.instance_ready(instance_id)

    def activity_succeeded(self, call: ActivityCall, result: str) -> None:
        """Record a result, as JSON text ("null" for None)."""
        self._activity_done(call, h.task_completed(self.clock(), call.task_id, result))

    def activity_failed(self, call: ActivityCall, exception_type: str, message: str, stack: str) -> None:
        reason = texts.activity_reason(call.name, exception_type, message)
        details = texts.activity_details(exception_type, message, stack)
        self._activity_done(call, h.task_failed(self.clock(), call.task_id, reason, details))

    def activity_died(self, call: ActivityCall, error: WorkerExitedError) -> None:
        """Record that the worker process died under an activity: it fails at once, as on the real host."""
        reason = texts.worker_died_reason(call.name, str(error))
        details = texts.worker_died_details(str(error))
        self._activity_done(call, h.task_failed(self.clock(), call.task_id, reason, details))

    def _activity_done(self, call: ActivityCall, event: Event) -> None:
        if self.store.complete_activity(call, event):
            self.listener.instance_ready(call.instance_id)
