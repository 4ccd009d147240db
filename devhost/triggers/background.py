"""A trigger that watches on a thread of its own: started, asked to stop, waited for."""

from __future__ import annotations

import threading


class BackgroundTrigger:
    """Subclasses watch in `_loop`, until `_stopping` is set."""

    def __init__(self, thread_name: str) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=thread_name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def _loop(self) -> None:
        raise NotImplementedError
