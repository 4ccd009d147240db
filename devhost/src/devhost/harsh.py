"""Harsh mode: the faults of production, injected on purpose and repeatable by a seed.

The policy only decides; worker, engine, blob trigger and replay harness act on it. A decision depends on the
seed, the subject, and the number of earlier decisions about it, so that one seed gives one course of events
whatever the timing of threads.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

from devhost.errors import WorkerExitedError

_REMEMBERED = 100_000
KILLED = WorkerExitedError(sys.executable, 137)
"""Death of a worker that is only played: nothing but the one activity fails."""


class Delivery(Enum):
    """Fate of one delivery of an activity."""

    ONCE = auto()
    TWICE = auto()
    """A second run follows the first; its result is dropped."""
    OVERLAPPING = auto()
    """Two runs at the same time; the first result counts."""
    DIES_BEFORE = auto()
    """The worker process dies before the activity has begun: TaskFailed."""
    DIES_AFTER = auto()
    """The worker process dies after the activity, and its result is lost: TaskFailed."""


@dataclass(frozen=True)
class Chances:
    """Probabilities, and delays in seconds. With the defaults an app that retries its activities makes
    progress."""

    twice: float = 0.1
    overlapping: float = 0.1
    dies_before: float = 0.03
    dies_after: float = 0.03
    early_timer: float = 0.9
    blob_twice: float = 0.2
    blob_late: float = 0.2
    blob_dropped: float = 0.15
    late_recovery: float = 0.5
    worker_killed: float = 0.0
    """For each run that is sent to the worker process: all runs in it fail."""
    message_lost: float = 0.0
    """For each message of an orchestration: it may wait for ever."""
    longest_blob_delay: float = 3.0
    longest_scan: float = 10.0
    """Longest delay until a scan finds the blob of a dropped event."""
    longest_recovery: float = 10.0
    """On Azure the visibility timeout of the queue message: 5 minutes, or as host.json says."""


LOSSES = Chances(worker_killed=1 / 300, message_lost=1 / 500)
"""The usual ones, and those after which an app must heal itself: orchestrations fail for good, or wait for
ever."""


class HarshPolicy:
    """Thread-safe decisions; the same calls in the same order give the same results."""

    def __init__(self, seed: int, chances: Chances | None = None) -> None:
        self.seed = seed
        self.chances = chances or Chances()
        self._asked: Counter[tuple[str, ...]] = Counter()
        self._lock = threading.Lock()

    def __str__(self) -> str:
        text = (
            f"Harsh mode, seed {self.seed} (--seed repeats it): activities run twice or die,"
            " timers are early, blob events are doubled, late or dropped"
        )
        return text + (", worker processes die, messages get lost." if self.chances == LOSSES else ".")

    def delivery(self, instance_id: str, task_id: int) -> Delivery:
        """Decide one delivery of an activity."""
        share = self._draw("activity", instance_id, str(task_id))
        chances = self.chances
        for delivery, chance in (
            (Delivery.TWICE, chances.twice),
            (Delivery.OVERLAPPING, chances.overlapping),
            (Delivery.DIES_BEFORE, chances.dies_before),
            (Delivery.DIES_AFTER, chances.dies_after),
        ):
            if share < chance:
                return delivery
            share -= chance
        return Delivery.ONCE

    def timer_lead(self, instance_id: str, timer_id: int) -> timedelta:
        """How much too early a timer fires: under a second, as on the real host, which cuts a message's
        visibility to whole seconds."""
        if self._draw("timer", instance_id, str(timer_id)) >= self.chances.early_timer:
            return timedelta(0)
        return timedelta(seconds=self._draw("lead", instance_id, str(timer_id)))

    def blob_delay(self, path: str, etag: str) -> float:
        """Seconds from a blob's new version to its function's run: the event is late, or dropped and a
        scan finds the blob."""
        share = self._draw("blob", path, etag)
        if share < self.chances.blob_late:
            return self._draw("late", path, etag) * self.chances.longest_blob_delay
        if share < self.chances.blob_late + self.chances.blob_dropped:
            return self._draw("scan", path, etag) * self.chances.longest_scan
        return 0.0

    def blob_runs(self, path: str) -> int:
        """Runs for one event: 1, or 2 if it is delivered twice."""
        return 2 if self._draw("runs", path) < self.chances.blob_twice else 1

    def recovery_delay(self, what: str) -> float:
        """Seconds until a dead host's unfinished work comes back; `what` names it."""
        if self._draw("recovery", what) >= self.chances.late_recovery:
            return 0.0
        return self._draw("visibility", what) * self.chances.longest_recovery

    def kills_worker(self, function: str) -> bool:
        """Whether the worker process is killed just after a run of a function was sent to it."""
        return self._draw("worker", function) < self.chances.worker_killed

    def loses(self, instance_id: str, kind: str) -> bool:
        """Whether a message to an instance gets lost; `kind` is that of its event."""
        return self._draw("message", instance_id, kind) < self.chances.message_lost

    def _draw(self, *key: str) -> float:
        """Number from 0 to 1, made of the seed, the key and the number of earlier draws for that key."""
        with self._lock:
            if len(self._asked) > _REMEMBERED:
                self._asked.clear()
            self._asked[key] += 1
            nth = self._asked[key]
        text = "\0".join((str(self.seed), str(nth), *key))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / 2**64


class BlobArrivals:
    """Arrival of blob events, per version of a blob; times are seconds of `clock`."""

    def __init__(self, policy: HarshPolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._due: dict[tuple[str, str], float] = {}

    def arrived(self, path: str, etag: str) -> bool:
        now = self._clock()
        return now >= self._due.setdefault((path, etag), now + self._policy.blob_delay(path, etag))
