"""Harsh mode: what production may do to an app, done on purpose, by a seed.

The policy only decides; it is asked where it happens (worker, engine, blob trigger, replay harness). A
decision depends on the seed, on what it is about, and on how often that was asked before, so that one seed
gives one course of events however the threads meet.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

_REMEMBERED = 100_000


class Delivery(Enum):
    """What becomes of one delivery of an activity."""

    ONCE = auto()
    TWICE = auto()
    """A second run follows the first; its result is dropped."""
    OVERLAPPING = auto()
    """Two runs at the same time; the first result counts."""
    DIES_BEFORE = auto()
    """The worker process dies before the activity has done anything: TaskFailed."""
    DIES_AFTER = auto()
    """The worker process dies when the activity has done its work, and the result is lost: TaskFailed."""


@dataclass(frozen=True)
class Chances:
    """Between 0 and 1 each, delays in seconds. With the defaults an app whose activities are tried again
    makes progress."""

    twice: float = 0.1
    overlapping: float = 0.1
    dies_before: float = 0.03
    dies_after: float = 0.03
    early_timer: float = 0.9
    blob_twice: float = 0.2
    blob_late: float = 0.2
    blob_dropped: float = 0.15
    late_recovery: float = 0.5
    longest_blob_delay: float = 3.0
    longest_scan: float = 10.0
    """After a dropped event it takes as long as that until a scan finds the blob."""
    longest_recovery: float = 10.0
    """On Azure it is the visibility timeout of the queue message: 5 minutes, or what host.json sets."""


class HarshPolicy:
    """Thread-safe. The same questions in the same order get the same answers."""

    def __init__(self, seed: int, chances: Chances | None = None) -> None:
        self.seed = seed
        self.chances = chances or Chances()
        self._asked: Counter[tuple[str, ...]] = Counter()
        self._lock = threading.Lock()

    def delivery(self, instance_id: str, task_id: int) -> Delivery:
        """For one delivery of an activity."""
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
        """How much too early a timer fires: less than a second, as the real host's do, since the visibility
        of their message is cut to whole seconds."""
        if self._draw("timer", instance_id, str(timer_id)) >= self.chances.early_timer:
            return timedelta(0)
        return timedelta(seconds=self._draw("lead", instance_id, str(timer_id)))

    def blob_delay(self, path: str, etag: str) -> float:
        """Seconds from when a version of a blob is there until its function hears of it: its event is late,
        or was dropped and a scan finds the blob."""
        share = self._draw("blob", path, etag)
        if share < self.chances.blob_late:
            return self._draw("late", path, etag) * self.chances.longest_blob_delay
        if share < self.chances.blob_late + self.chances.blob_dropped:
            return self._draw("scan", path, etag) * self.chances.longest_scan
        return 0.0

    def blob_runs(self, path: str) -> int:
        """How often a function runs for one event: 1, or 2 if it was delivered twice."""
        return 2 if self._draw("runs", path) < self.chances.blob_twice else 1

    def recovery_delay(self, what: str) -> float:
        """Seconds until work that a dead host had in hand comes back; `what` names it."""
        if self._draw("recovery", what) >= self.chances.late_recovery:
            return 0.0
        return self._draw("visibility", what) * self.chances.longest_recovery

    def _draw(self, *key: str) -> float:
        """A number from 0 to 1 made of the seed, the key, and how often the key was asked for."""
        with self._lock:
            if len(self._asked) > _REMEMBERED:
                self._asked.clear()
            self._asked[key] += 1
            nth = self._asked[key]
        text = "\0".join((str(self.seed), str(nth), *key))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / 2**64


class BlobNews:
    """When the news of each version of a blob arrives. Times are seconds of `clock`."""

    def __init__(self, policy: HarshPolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._due: dict[tuple[str, str], float] = {}

    def arrived(self, path: str, etag: str) -> bool:
        now = self._clock()
        return now >= self._due.setdefault((path, etag), now + self._policy.blob_delay(path, etag))
