"""Replay of the SDK's actions against a history: which work is still to be scheduled.

The SDK answers every episode with *all* actions since the start. The real host replays them inside its own
orchestration: one top-level action after the other, each awaited before the next, ids handed out in the order
in which actions start. Doing the same from the stored history alone gives the same ids, and so the same
behaviour, including the awkward cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from devhost.durable import texts
from devhost.durable.history import Event, Kind
from devhost.timestamps import parse_stamp, stamp

Action = dict[str, Any]

ACTIVITY, ACTIVITY_RETRY, SUB, SUB_RETRY, CONTINUE_AS_NEW, TIMER, WAIT_EVENT = range(7)
WHEN_ANY, WHEN_ALL = 11, 12
UNSUPPORTED = {7: "call_entity", 8: "call_http", 9: "signal_entity"}
"""Actions that devhost does not run; an orchestrator that takes one fails."""


class NotDeterministicError(Exception):
    """History and replay disagree; the text is the orchestration's output."""

    state: Replay
    """The replay up to there: what it had decided is scheduled all the same (as recorded)."""


class UnsupportedActionError(Exception):
    """The orchestrator takes an action that this host does not run."""


@dataclass(frozen=True)
class Decision:
    """Work the orchestration asked for. `kind` is the event that will confirm it."""

    kind: Kind
    id: int
    name: str = ""
    input: str | None = None
    instance_id: str | None = None
    version: str | None = None
    fire_at: str = ""
    cancelled: bool = False


class _Future:
    """A pending result; callbacks run in order as soon as it resolves."""

    def __init__(self, *, done: bool = False, failed: bool = False) -> None:
        self.done = done
        self.failed = failed
        self._followers: list[Callable[[_Future], None]] = []

    def resolve(self, *, failed: bool = False) -> None:
        if self.done:
            return
        self.done, self.failed = True, failed
        followers, self._followers = self._followers, []
        for follower in followers:
            follower(self)

    def then(self, follower: Callable[[_Future], None]) -> None:
        if self.done:
            follower(self)
        else:
            self._followers.append(follower)


@dataclass(frozen=True)
class Known:
    """Names in the app. Work of an unknown name is never scheduled, and its caller waits for ever, as on the
    real host."""

    activity: Callable[[str], bool]
    orchestrator: Callable[[str], bool]
    default_version: str | None = None
    """From host.json, for sub-orchestrations called without a version."""


_DECISION_OF = {
    Kind.TASK_SCHEDULED: ("an activity task", "ScheduleTaskOrchestratorAction"),
    Kind.SUB_CREATED: ("a sub-orchestration instance", "CreateSubOrchestrationAction"),
    Kind.TIMER_CREATED: ("a timer task", "CreateTimerOrchestratorAction"),
}


@dataclass
class Replay:
    """State of one replay; made by `replay()`."""

    actions: Sequence[Action]
    known: Known
    next_id: int = 0
    finished: bool = False
    """Whether all actions have ended."""
    continue_input: str | None = None
    """Input of the next generation, once continue-as-new has taken effect."""
    is_suspended: bool = False
    decisions: dict[int, Decision] = field(default_factory=dict)
    """Work not yet confirmed by the history, by number."""
    open: dict[int, _Future] = field(default_factory=dict)
    """Activities, sub-orchestrations and timers still running; the instance cannot end before them."""
    carried: list[Event] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    _waits: dict[str, list[_Future]] = field(default_factory=dict)
    _early: dict[str, int] = field(default_factory=dict)
    _stashed: dict[int, Decision] = field(default_factory=dict)
    _now: str = ""

    @property
    def continued(self) -> bool:
        return self.continue_input is not None

    def feed(self, events: Sequence[Event]) -> None:
        held: list[Event] = []
        pending = list(events)
        pending.reverse()
        while pending:
            event = pending.pop()
            kind = event["EventType"]
            if self.is_suspended and kind not in (Kind.RESUMED, Kind.EXECUTION_TERMINATED):
                held.append(event)
            elif kind == Kind.SUSPENDED:
                self._suspend()
            elif kind == Kind.RESUMED:
                self._resume()
                pending.extend(reversed(held))
                held = []
            else:
                self._apply(kind, event)

    def _apply(self, kind: int, event: Event) -> None:
        if kind == Kind.ORCHESTRATOR_STARTED:
            self._now = event["Timestamp"]
        elif kind == Kind.EXECUTION_STARTED:
            self._run_main()
        elif kind in _DECISION_OF:
            self._confirm(Kind(kind), event)
        elif kind in (Kind.TASK_COMPLETED, Kind.SUB_COMPLETED):
            self._complete(event["TaskScheduledId"], failed=False)
        elif kind in (Kind.TASK_FAILED, Kind.SUB_FAILED):
            self._complete(event["TaskScheduledId"], failed=True)
        elif kind == Kind.TIMER_FIRED:
            self._complete(event["TimerId"], failed=False)
        elif kind == Kind.EVENT_RAISED:
            self._raise(event)

    # --- what history says --------------------------------------------------------------------------------

    def _suspend(self) -> None:
        """Hold new work back until the resume; else every suspended episode would schedule it again."""
        self.is_suspended = True
        self._stashed.update(self.decisions)
        self.decisions.clear()

    def _resume(self) -> None:
        self.is_suspended = False
        self.decisions.update(self._stashed)
        self._stashed.clear()

    def _confirm(self, kind: Kind, event: Event) -> None:
        event_id = event["EventId"]
        what, _ = _DECISION_OF[kind]
        decision = self.decisions.get(event_id)
        named = f"named '{event['Name']}'" if "Name" in event else "named"
        was = f"A previous execution of this orchestration scheduled {what} with sequence"
        if decision is None:
            raise NotDeterministicError(texts.no_longer_scheduled(event))
        if decision.kind is not kind:
            raise NotDeterministicError(
                texts.not_deterministic(
                    f"{was} number {event_id} {named} but the current orchestration replay"
                    " instead produced a "
                    f"{_DECISION_OF[decision.kind][1]} action with this sequence number."
                )
            )
        if kind is not Kind.TIMER_CREATED and decision.name.lower() != event["Name"].lower():
            raise NotDeterministicError(
                texts.not_deterministic(
                    f"{was} number {event_id} {named}, but the current orchestration replay"
                    f" instead scheduled {what} "
                    f"named '{decision.name}' with this sequence number. "
                )
            )
        del self.decisions[event_id]

    def _complete(self, task_id: int, *, failed: bool) -> None:
        future = self.open.pop(task_id, None)
        if future is not None:
            future.resolve(failed=failed)

    def _raise(self, event: Event) -> None:
        """Resolve the latest wait of that name; case-insensitive here, unlike in the SDK."""
        if self.continued:
            self.carried.append(event)
            return
        name = event["Name"].lower()
        waits = self._waits.get(name)
        if waits:
            waits.pop().resolve()
        else:
            self._early[name] = self._early.get(name, 0) + 1

    # --- what the orchestrator asks for -------------------------------------------------------------------

    def _run_main(self) -> None:
        remaining = iter(self.actions)

        def step(_: _Future | None = None) -> None:
            for action in remaining:
                if self.continued:
                    break
                future = self._start(action)
                if not future.done:
                    future.then(step)
                    return
            self.finished = True

        step()

    def _start(self, action: Action) -> _Future:
        kind = action["actionType"]
        if kind == ACTIVITY:
            return self._activity(action)
        if kind == ACTIVITY_RETRY:
            return self._with_retry(action, self._activity)
        if kind == SUB:
            return self._sub(action)
        if kind == SUB_RETRY:
            return self._with_retry(action, self._sub)
        if kind == CONTINUE_AS_NEW:
            self.next_id += 1
            self.continue_input = action["input"]
            return _Future(done=True)
        if kind == TIMER:
            return self._timer(action["fireAt"], cancelled=action["isCanceled"])
        if kind == WAIT_EVENT:
            return self._wait(action["externalEventName"].lower())
        if kind in (WHEN_ANY, WHEN_ALL):
            return self._compound(action)
        raise UnsupportedActionError(f"devhost does not run {UNSUPPORTED.get(kind, f'action type {kind}')}")

    def _schedule(self, decision: Decision) -> _Future:
        self.next_id += 1
        self.decisions[decision.id] = decision
        future = _Future()
        if decision.cancelled:
            future.resolve(failed=True)
        else:
            self.open[decision.id] = future
        return future

    def _activity(self, action: Action) -> _Future:
        name = action["functionName"]
        if not self.known.activity(name):
            self.unknown.append(f"activity '{name}'")
            return _Future(done=True, failed=True)
        return self._schedule(Decision(Kind.TASK_SCHEDULED, self.next_id, name, action["input"]))

    def _sub(self, action: Action) -> _Future:
        name = action["functionName"]
        if not self.known.orchestrator(name):
            self.unknown.append(f"orchestrator '{name}'")
            return _Future(done=True, failed=True)
        return self._schedule(
            Decision(
                Kind.SUB_CREATED,
                self.next_id,
                name,
                action["input"],
                instance_id=action.get("instanceId") or None,
                version=action.get("version") or self.known.default_version,
            )
        )

    def _timer(self, fire_at: str, *, cancelled: bool = False) -> _Future:
        decision = Decision(
            Kind.TIMER_CREATED, self.next_id, fire_at=stamp(parse_stamp(fire_at)), cancelled=cancelled
        )
        return self._schedule(decision)

    def _wait(self, name: str) -> _Future:
        if self._early.get(name):
            self._early[name] -= 1
            return _Future(done=True)
        future = _Future()
        self._waits.setdefault(name, []).append(future)
        return future

    def _compound(self, action: Action) -> _Future:
        parts = [self._start(part) for part in action["compoundActions"]]
        whole = _Future(done=not parts)
        enough = any if action["actionType"] == WHEN_ANY else all

        def check(_: _Future) -> None:
            if enough(part.done for part in parts):
                whole.resolve()

        for part in parts:
            part.then(check)
        return whole

    def _with_retry(self, action: Action, attempt_once: Callable[[Action], _Future]) -> _Future:
        """After the last failure one more timer runs, due at once: the SDK shows the failure only when
        that one fires.
        """
        options = action["retryOptions"]
        interval = timedelta(milliseconds=options["firstRetryIntervalInMilliseconds"])
        outcome = _Future()
        failures = 0

        def ended(attempt: _Future) -> None:
            nonlocal failures
            if not attempt.failed:
                outcome.resolve()
                return
            failures += 1
            last = failures >= options["maxNumberOfAttempts"]
            due = parse_stamp(self._now) + (timedelta(0) if last else interval)
            self._timer(stamp(due)).then(lambda _: outcome.resolve(failed=True) if last else again())

        def again() -> None:
            attempt_once(action).then(ended)

        again()
        return outcome


def replay(actions: Sequence[Action], history: Sequence[Event], known: Known) -> Replay:
    """Replay the whole `history` (past and new) against `actions`. Raises NotDeterministicError,
    UnsupportedActionError.
    """
    state = Replay(actions, known)
    try:
        state.feed(history)
    except NotDeterministicError as error:
        error.state = state
        raise
    return state
