"""Background determinism check of the running host: one thread with a small share of a core."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from devhost.durable.actions import Known
from devhost.durable.determinism import DeterminismCheck, Divergence, Episode
from devhost.durable.model import EpisodeReport
from devhost.errors import NoWorkerError, WorkerExitedError

SHARE = 0.2
"""Share of one core that the check may take while it has work."""
WAITING = 500
"""Executions that may wait; under more load those waiting longest are left out."""


class DeterminismWatch:
    """Queue of executions to check. `report` gets each finding as text, once for an orchestrator and step.

    All episodes of an execution that have come while it waited are checked together.
    """

    def __init__(self, check: DeterminismCheck, known: Known, report: Callable[[str], None]) -> None:
        self._check = check
        self._known = known
        self._report = report
        self._waiting: OrderedDict[str, list[Episode]] = OrderedDict()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._hurry_until = 0.0
        self._told: set[tuple[str, int]] = set()
        self._thread = threading.Thread(target=self._loop, name="determinism", daemon=True)
        self.left_out = 0
        """Number of executions that were not checked, or not in full."""

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Check what still waits, for `timeout` seconds at most."""
        with self._changed:
            self._hurry_until = time.monotonic() + timeout
            self._stopping.set()
            self._changed.notify()
        self._thread.join(timeout + 1.0)
        with self._changed:
            self.left_out += len(self._waiting)

    def episode_done(self, report: EpisodeReport) -> None:
        """Queue an episode; called in the thread that ran it."""
        episode = self._check.episode(report)
        if episode is None:
            return
        with self._changed:
            self._waiting.setdefault(episode.execution_id, []).append(episode)
            if len(self._waiting) > WAITING:
                self._waiting.popitem(last=False)
                self.left_out += 1
            self._changed.notify()

    def _loop(self) -> None:
        while (episodes := self._next()) is not None:
            # The clock's time, not this thread's: the replays take theirs in the worker.
            began = time.monotonic()
            self._run(episodes)
            spent = time.monotonic() - began
            self._stopping.wait(spent * (1 / SHARE - 1))

    def _next(self) -> list[Episode] | None:
        """Episodes of the execution that waits longest, or None when stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping.is_set())
            late = self._stopping.is_set() and time.monotonic() > self._hurry_until
            return None if late or not self._waiting else self._waiting.popitem(last=False)[1]

    def _run(self, episodes: list[Episode]) -> None:
        try:
            for found in self._check.run(episodes, self._known):
                self._tell(found)
        except (WorkerExitedError, NoWorkerError):
            return  # what was to be checked is gone with the worker
        except Exception as error:
            # A check must not take the host with it; an orchestrator that cannot be replayed is worth a line.
            self._report(f"'{episodes[-1].name}' could not be checked: {type(error).__name__}: {error}")

    def _tell(self, found: Divergence) -> None:
        key = (found.orchestrator.lower(), found.step)
        if key not in self._told:
            self._told.add(key)
            self._report(str(found))
