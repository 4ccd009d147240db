"""Checks for determinism beside the running host: one thread, with a small share of the processor's time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from devhost import console
from devhost.durable.actions import Known
from devhost.durable.determinism import DeterminismCheck, Divergence, Episode
from devhost.durable.model import EpisodeReport

SHARE = 0.2
"""The part of one core that checking may take while it has work."""
WAITING = 500
"""Executions that may wait for their check; under more load the ones waiting longest are left out."""


class DeterminismWatch:
    """`report` gets each finding as text: once for an orchestrator and a step, not once for each episode.

    An execution that waits is checked once for all of its episodes until then.
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
        """Executions whose episodes were not, or not all, checked."""

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Checks what still waits, for so many seconds at most."""
        with self._changed:
            self._hurry_until = time.monotonic() + timeout
            self._stopping.set()
            self._changed.notify()
        self._thread.join(timeout + 1.0)
        with self._changed:
            self.left_out += len(self._waiting)

    def episode_done(self, report: EpisodeReport) -> None:
        """In the thread that ran the episode."""
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
        with console.muted():
            while (episodes := self._next()) is not None:
                began = time.thread_time()
                self._run(episodes)
                spent = time.thread_time() - began
                self._stopping.wait(spent * (1 / SHARE - 1))

    def _next(self) -> list[Episode] | None:
        """The episodes of the execution that waits longest; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping.is_set())
            late = self._stopping.is_set() and time.monotonic() > self._hurry_until
            return None if late or not self._waiting else self._waiting.popitem(last=False)[1]

    def _run(self, episodes: list[Episode]) -> None:
        try:
            for found in self._check.run(episodes, self._known):
                self._tell(found)
        except Exception as error:
            # A check must not take the host with it; an orchestrator that cannot be replayed is worth a line.
            self._report(f"'{episodes[-1].name}' could not be checked: {type(error).__name__}: {error}")

    def _tell(self, found: Divergence) -> None:
        key = (found.orchestrator.lower(), found.step)
        if key not in self._told:
            self._told.add(key)
            self._report(str(found))
