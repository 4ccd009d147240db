"""Threads that do the engine's work: episodes, activities, and timers when they are due.

Everything waits for a notification; an idle host costs nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime

from devhost.durable.engine import Engine
from devhost.durable.model import ActivityCall, EpisodeReport
from devhost.errors import NoWorkerError, UserCodeError, WorkerExitedError
from devhost.harsh import KILLED, Delivery, HarshPolicy

EPISODE_THREADS = 2


class Dispatcher:
    """The engine's Listener. `run_activity(name, input JSON text)` gives JSON text or raises UserCodeError,
    WorkerExitedError, NoWorkerError.

    Episodes of one instance never overlap.
    """

    def __init__(
        self,
        engine: Engine,
        run_activity: Callable[[str, str | None], str],
        *,
        max_activities: int,
        warn: Callable[[str], None],
        episode_done: Callable[[EpisodeReport], None] | None = None,
        harsh: HarshPolicy | None = None,
    ) -> None:
        self._engine = engine
        self._run_activity = run_activity
        self._warn = warn
        self._episode_done = episode_done
        self._harsh = harsh
        self._episodes = ThreadPoolExecutor(EPISODE_THREADS, "episode")
        self._activities = ThreadPoolExecutor(max_activities, "activity")
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._futures: set[Future[None]] = set()
        self._timers = threading.Condition()
        self._stopping = False
        self._clock = threading.Thread(target=self._watch_timers, name="timers", daemon=True)

    def start(self) -> None:
        """Continue where the last process stopped: unfinished activities run again, at once unless harsh."""
        # Asked before anything runs: what is scheduled from here on announces itself.
        left = self._engine.store.activities()
        self._engine.listener = self
        for call in left:
            self._recover(f"{call.instance_id} {call.task_id}", self.activity_ready, call)
        for instance_id in self._engine.store.waiting_instances():
            self._recover(instance_id, self.instance_ready, instance_id)
        self._engine.fire_due_timers()
        self._clock.start()

    def _recover(self, what: str, ready: Callable[..., None], work: object) -> None:
        delay = self._harsh.recovery_delay(what) if self._harsh else 0.0
        if not delay:
            ready(work)
            return
        later = threading.Timer(delay, ready, (work,))
        later.daemon = True
        later.start()

    def stop(self, timeout: float) -> bool:
        """Take no new work; True if all that runs ended within `timeout` seconds."""
        with self._timers:
            self._stopping = True
            self._timers.notify()
        self._activities.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            running = set(self._futures)
        _, late = wait(running, timeout)
        self._episodes.shutdown(wait=not late, cancel_futures=True)
        if self._clock.is_alive():
            self._clock.join(1.0)
        return not late

    # --- told by the engine -------------------------------------------------------------------------------

    def instance_ready(self, instance_id: str) -> None:
        with self._lock:
            if instance_id in self._busy:
                self._again.add(instance_id)
                return
            self._busy.add(instance_id)
        self._submit(self._episodes, self._run_episodes, instance_id)

    def activity_ready(self, call: ActivityCall) -> None:
        delivery = self._harsh.delivery(call.instance_id, call.task_id) if self._harsh else Delivery.ONCE
        for run in {
            Delivery.ONCE: (self._run_one_activity,),
            Delivery.TWICE: (self._run_twice,),
            Delivery.OVERLAPPING: (self._run_one_activity, self._run_one_activity),
            Delivery.DIES_BEFORE: (self._die,),
            Delivery.DIES_AFTER: (self._run_and_die,),
        }[delivery]:
            self._submit(self._activities, run, call)

    def timers_changed(self) -> None:
        with self._timers:
            self._timers.notify()

    def warn(self, text: str) -> None:
        self._warn(text)

    # --- on the threads -----------------------------------------------------------------------------------

    def _submit(self, pool: ThreadPoolExecutor, function: Callable[..., None], argument: object) -> None:
        try:
            future = pool.submit(function, argument)
        except RuntimeError:
            # Shutting down: the work stays in the store and is found at the next start.
            return
        with self._lock:
            self._futures.add(future)
        future.add_done_callback(self._forget)

    def _forget(self, future: Future[None]) -> None:
        with self._lock:
            self._futures.discard(future)

    def _run_episodes(self, instance_id: str) -> None:
        """Run the episodes of one instance until it has no message left."""
        going = True
        while going:
            try:
                report = self._engine.run_episode(instance_id)
                # The first episode of a generation takes no messages; those that came were announced before.
                follows = report is not None and (
                    report.outcome.next_generation is not None or report.instance.seeded
                )
                if report is not None and self._episode_done is not None:
                    self._episode_done(report)
            except Exception as error:
                # Its messages stay; the next one, or a restart, tries again.
                follows = False
                self._report(f"an episode of '{instance_id}' failed in the host", error)
            going = self._goes_on(instance_id, follows)

    def _goes_on(self, instance_id: str, follows: bool) -> bool:
        """Whether another episode follows unannounced: the first one of a new generation."""
        with self._lock:
            going = not self._stopping and (follows or instance_id in self._again)
            self._again.discard(instance_id)
            if not going:
                self._busy.discard(instance_id)
            return going

    def _report(self, what: str, error: Exception) -> None:
        if not (self._stopping or isinstance(error, NoWorkerError)):
            self._warn(f"{what}: {type(error).__name__}: {error}")

    def _run_one_activity(self, call: ActivityCall) -> None:
        try:
            try:
                result = self._run_activity(call.name, call.input)
            except UserCodeError as error:
                self._engine.activity_failed(call, error.exception_type, error.message, error.stack)
            except WorkerExitedError as error:
                self._engine.activity_died(call, error)
            else:
                self._engine.activity_succeeded(call, result)
        except Exception as error:
            # The activity stays in the store and runs again at the next start.
            self._report(f"activity '{call.name}' of '{call.instance_id}' failed in the host", error)

    def _run_twice(self, call: ActivityCall) -> None:
        self._run_one_activity(call)
        self._run_one_activity(call)

    def _die(self, call: ActivityCall) -> None:
        try:
            self._engine.activity_died(call, KILLED)
        except Exception as error:
            self._report(f"activity '{call.name}' of '{call.instance_id}' failed in the host", error)

    def _run_and_die(self, call: ActivityCall) -> None:
        with contextlib.suppress(Exception):
            self._run_activity(call.name, call.input)
        self._die(call)

    def _watch_timers(self) -> None:
        while True:
            with self._timers:
                if self._stopping:
                    return
                due = self._engine.store.next_due()
                self._timers.wait(None if due is None else self._seconds_until(due))
                if self._stopping:
                    return
            try:
                self._engine.fire_due_timers()
            except Exception as error:
                self._report("timers could not be fired", error)

    def _seconds_until(self, due: datetime) -> float:
        # Not longer than a minute: a machine that slept counts less time than its clock shows.
        return min(max(0.0, (due - self._engine.clock()).total_seconds()), 60.0)
