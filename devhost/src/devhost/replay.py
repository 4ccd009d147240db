"""Orchestrators in virtual time, for tests of an app: the engine without HTTP, threads or waiting.

The one public module of devhost. Orchestrators go through the real SDK, activities are plain functions, and
after every episode earlier histories are replayed, which finds orchestrators that are not deterministic.
"""

from __future__ import annotations

import heapq
import itertools
import json
import traceback
from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import azure.durable_functions
from azure.functions import get_binding_registry
from azure.functions.meta import Datum

from devhost.durable.determinism import PREFIXES, DeterminismCheck
from devhost.durable.engine import AlreadyExistsError, EndedError, Engine, NotFoundError
from devhost.durable.history import Event, Kind, parse_or_text
from devhost.durable.model import ActivityCall
from devhost.durable.sdk import open_tasks, remember_repeated_work
from devhost.durable.store import Store
from devhost.harsh import KILLED, Delivery, HarshPolicy

__all__ = [
    "AlreadyExistsError",
    "EndedError",
    "Event",
    "HarshPolicy",
    "Kind",
    "NotFoundError",
    "ReplayError",
    "ReplayHarness",
    "Status",
]

OrchestratorFunction = Callable[[Any], Generator[Any, Any, Any]]
START = datetime(2026, 1, 1, tzinfo=UTC)
_MOST_EPISODES = 100_000


class ReplayError(AssertionError):
    """An orchestrator is not deterministic or asks for an unknown name, or the harness is misused."""


@dataclass(frozen=True)
class Status:
    """State of an instance; texts decoded as by the SDK's client and `get_input` together."""

    name: str
    instance_id: str
    runtime_status: str
    input: Any
    output: Any
    custom_status: Any
    created: datetime
    updated: datetime


@dataclass(frozen=True)
class _Later:
    seconds: float
    value: Any


class ReplayHarness:
    """Orchestrators and activities by name, a clock, and the engine.

    An activity is called with its decoded input when it is scheduled, and ends at once or `after` a while.

    Timers fire on time, or `early_timers` seconds too early, as the real host's may by up to one second. With
    a `harsh` policy, activities run twice or die and timers fire early as it decides. After each episode
    `prefixes` earlier histories at most are replayed; fewer are faster and find less.
    """

    def __init__(
        self,
        orchestrators: Mapping[str, OrchestratorFunction],
        activities: Mapping[str, Callable[[Any], Any]],
        start: datetime | None = None,
        early_timers: float = 0.0,
        harsh: HarshPolicy | None = None,
        prefixes: int = PREFIXES,
    ) -> None:
        self.now = start or START
        self.activity_calls: list[tuple[datetime, str, Any]] = []
        self._names = {name.lower(): name for name in orchestrators}
        self._activities = {name.lower(): (name, function) for name, function in activities.items()}
        self._early = timedelta(seconds=early_timers)
        self._harsh = harsh
        remember_repeated_work()
        self._check = DeterminismCheck(open_tasks, prefixes)
        self._store = Store(":memory:")
        self._engine = Engine(
            self._store,
            {
                name.lower(): self._check.wrap(name, azure.durable_functions.Orchestrator.create(function))
                for name, function in orchestrators.items()
            },
            list(self._activities),
            names=list(orchestrators),
            clock=lambda: self.now,
            timer_lead=harsh.timer_lead if harsh else None,
        )
        self._engine.listener = self
        self._ready: deque[str | ActivityCall] = deque()
        self._later: list[tuple[datetime, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._running = False

    # --- what a client does -------------------------------------------------------------------------------

    def start(self, name: str, input: Any = None, instance_id: str | None = None) -> str:  # noqa: A002
        """Start an orchestration as the Python client does; gives its id. Raises AlreadyExistsError."""
        if name.lower() not in self._names:
            raise ReplayError(f"no orchestrator is named '{name}'")
        text = None if input is None else json.dumps(_encode(input))
        return self._engine.start(name, text, instance_id)

    def raise_event(self, instance_id: str, name: str, data: Any = None, at: float | None = None) -> None:
        """Raise an event as the Python client does, now or `at` seconds from now.

        Raises NotFoundError, EndedError; from run() if the event comes later.
        """
        text = json.dumps(_encode(data))
        if at is None:
            self._engine.raise_event(instance_id, name, text)
        else:
            self.schedule(at, lambda: self._engine.raise_event(instance_id, name, text))

    def terminate(self, instance_id: str, reason: str | None = None) -> None:
        self._engine.terminate(instance_id, reason)

    def suspend(self, instance_id: str, reason: str | None = None) -> None:
        self._engine.suspend(instance_id, reason)

    def resume(self, instance_id: str, reason: str | None = None) -> None:
        self._engine.resume(instance_id, reason)

    # --- time ---------------------------------------------------------------------------------------------

    def after(self, seconds: float, value: Any) -> Any:
        """Result for an activity that ends that many seconds later; an exception as `value` fails it."""
        return _Later(seconds, value)

    def schedule(self, seconds: float, action: Callable[[], object]) -> None:
        """Run `action` so many seconds from now."""
        heapq.heappush(self._later, (self.now + timedelta(seconds=seconds), next(self._order), action))

    def run(self, until: datetime | None = None) -> None:
        """Run everything that is due until `until`, or until nothing is pending any more."""
        if self._running:
            raise ReplayError("run() was called from inside an activity or a scheduled action")
        self._running = True
        try:
            for _ in range(_MOST_EPISODES):
                if self._ready:
                    self._take(self._ready.popleft())
                elif not self._advance(until):
                    return
            raise ReplayError(f"still going after {_MOST_EPISODES} steps: give run() an end for endless work")
        finally:
            self._running = False

    def _advance(self, until: datetime | None) -> bool:
        """Move the clock to what comes next; False at the end."""
        due = self._store.next_due()
        timer = None if due is None else max(due - self._early, self.now)
        action = max(self._later[0][0], self.now) if self._later else None
        upcoming = min((moment for moment in (timer, action) if moment is not None), default=None)
        if upcoming is None or (until is not None and upcoming > until):
            self.now = max(self.now, until or self.now)
            return False
        self.now = upcoming
        if action == upcoming:
            heapq.heappop(self._later)[2]()
        else:
            self._engine.fire_due_timers(self.now + self._early)
        return True

    # --- what came of it ----------------------------------------------------------------------------------

    def status(self, instance_id: str) -> Status:
        """Raises KeyError for an unknown id."""
        found = self._store.instance(instance_id)
        if found is None:
            raise KeyError(instance_id)
        return Status(
            name=found.name,
            instance_id=found.id,
            runtime_status=found.status,
            input=_twice(found.input),
            output=parse_or_text(found.output),
            custom_status=parse_or_text(found.custom_status),
            created=found.created,
            updated=found.updated,
        )

    def instances(self) -> list[str]:
        """The ids of all instances, in order."""
        return [instance.id for instance in self._store.instances()]

    def history(self, instance_id: str) -> list[Event]:
        """The events of the current generation, as the SDK gets them."""
        return self._store.history(instance_id)

    def timers(self, instance_id: str) -> list[datetime]:
        """Due times of the pending timers, earliest first."""
        return [due for _, due in self._store.timers(instance_id)]

    # --- told by the engine -------------------------------------------------------------------------------

    def instance_ready(self, instance_id: str) -> None:
        if instance_id not in self._ready:
            self._ready.append(instance_id)

    def activity_ready(self, call: ActivityCall) -> None:
        self._ready.append(call)

    def timers_changed(self) -> None:
        """Nothing to do: the clock looks the next one up."""

    def warn(self, text: str) -> None:
        raise ReplayError(text)

    # --- steps --------------------------------------------------------------------------------------------

    def _take(self, work: str | ActivityCall) -> None:
        if isinstance(work, ActivityCall):
            self._run_activity(work)
        else:
            self._run_episode(work)

    def _run_episode(self, instance_id: str) -> None:
        report = self._engine.run_episode(instance_id)
        if report is None:
            return
        episode = self._check.episode(report)
        for found in self._check.run([episode], self._engine.known) if episode else ():
            raise ReplayError(str(found))
        if self._store.has_work(instance_id):
            self.instance_ready(instance_id)

    def _run_activity(self, call: ActivityCall) -> None:
        delivery = self._harsh.delivery(call.instance_id, call.task_id) if self._harsh else Delivery.ONCE
        if delivery is Delivery.DIES_BEFORE:
            self._engine.activity_died(call, KILLED)
            return
        results = [self._call(call)]
        if delivery is Delivery.OVERLAPPING:
            results.append(self._call(call))
        for result in results:
            if delivery is Delivery.DIES_AFTER:
                self._when(result, lambda _: self._engine.activity_died(call, KILLED))
            else:
                self._when(result, lambda value: self._end_activity(call, value))
        if delivery is Delivery.TWICE:
            self._when(self._call(call), lambda value: self._end_activity(call, value))

    def _call(self, call: ActivityCall) -> Any:
        """Result of an activity, or its exception."""
        name, function = self._activities[call.name.lower()]
        payload = _decode(call.input)
        self.activity_calls.append((self.now, name, payload))
        try:
            return function(payload)
        except ReplayError:
            raise
        except Exception as error:
            return error

    def _when(self, result: Any, end: Callable[[Any], None]) -> None:
        if isinstance(result, _Later):
            self.schedule(result.seconds, lambda: end(result.value))
        else:
            end(result)

    def _end_activity(self, call: ActivityCall, result: Any) -> None:
        error: Exception
        if isinstance(result, Exception):
            error = result
        else:
            try:
                text = _encode(result)
            except ValueError as unfit:
                error = unfit
            else:
                self._engine.activity_succeeded(call, text)
                return
        stack = "".join(traceback.format_tb(error.__traceback__))
        self._engine.activity_failed(call, type(error).__name__, str(error), stack)


def _encode(value: Any) -> str:
    """JSON text as the activity binding writes it. Raises ValueError for what is no JSON."""
    converter: Any = _registry().get("activityTrigger")
    return str(converter.encode(value, expected_type=None).value)


def _decode(text: str | None) -> Any:
    converter: Any = _registry().get("activityTrigger")
    return converter.decode(Datum("null" if text is None else text, "string"), trigger_metadata=None)


def _registry() -> Any:
    registry: Callable[[], Any] = get_binding_registry
    return registry()


def _twice(text: str | None) -> Any:
    """An input without its double encoding."""
    once = parse_or_text(text)
    return parse_or_text(once) if isinstance(once, str) else once
