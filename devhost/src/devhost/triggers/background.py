"""Base of triggers that watch on one thread and run functions on others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol


class Trigger(Protocol):
    """A trigger as the host sees it."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """Take no new work."""

    def join(self, timeout: float) -> None:
        """Wait for running functions, `timeout` seconds at most."""

    def run_by_hand(self, text: str | None) -> None:
        """Run once with the input of a manual run; raises what the function raises."""


class BackgroundTrigger:
    """Subclasses watch in `_loop` until `_stopping` is set, and run functions in parallel by `_submit`."""

    def __init__(self, thread_name: str, parallel: int = 1) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=thread_name, daemon=True)
        self._pool = ThreadPoolExecutor(parallel, thread_name)
        self._free = threading.Semaphore(parallel)
        self._idle = threading.Condition()
        self._running = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def join(self, timeout: float) -> None:
        until = time.monotonic() + timeout
        if self._thread.is_alive():
            self._thread.join(timeout)
        self.wait_until_idle(max(0.0, until - time.monotonic()))
        self._pool.shutdown(wait=False, cancel_futures=True)

    def wait_until_idle(self, timeout: float) -> bool:
        """Whether everything submitted ended within `timeout` seconds."""
        with self._idle:
            return self._idle.wait_for(lambda: self._running == 0, timeout)

    def _submit(self, work: Callable[[], None]) -> bool:
        """Run `work`, which must not raise, when a thread is free; False when the host stops first."""
        while not self._free.acquire(timeout=0.2):
            if self._stopping.is_set():
                return False
        with self._idle:
            self._running += 1
        self._pool.submit(work).add_done_callback(self._ended)
        return True

    def _ended(self, _future: Future[None]) -> None:
        self._free.release()
        with self._idle:
            self._running -= 1
            self._idle.notify_all()

    def _loop(self) -> None:
        raise NotImplementedError
