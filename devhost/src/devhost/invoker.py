"""Runs of functions as the host sees them: lines in the log, the worker's answer, how many are running."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from devhost.console import logged_run
from devhost.errors import UserCodeError
from devhost.worker.messages import Datum, Function, Run
from devhost.worker.process import WorkerProcess

CALLED = "This function was programmatically called via the host APIs."
Metadata = Mapping[str, Datum]


def _rewritten(result: str) -> str:
    """A result as the host rewrites it: without needless white space and escapes."""
    return json.dumps(json.loads(result), ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Call:
    """Cause of a run: the trigger's value and metadata, reason and details for the log."""

    value: Datum
    metadata: Metadata = field(default_factory=dict)
    reason: str = CALLED
    details: Mapping[str, str] = field(default_factory=dict)


class Invoker:
    """Runs functions to their end. A run raises UserCodeError, WorkerExitedError, NoWorkerError."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._running = 0
        self._idle = threading.Condition()

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait for what still runs; False if something does not end in time."""
        with self._idle:
            return self._idle.wait_for(lambda: self._running == 0, timeout)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._idle:
            self._running += 1
        try:
            yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def invoke(self, function: Function, call: Call) -> Datum | None:
        """Run a function to its end; gives its encoded result."""
        with self._counted(), logged_run(function, call.reason, call.details) as run_id:
            result: Datum | None = self._worker.ask(Run(function.name, call.value, call.metadata, run_id))
            return result

    async def invoke_http(self, function: Function, value: Datum) -> Datum | None:
        """Run an HTTP function from the server's loop; gives the encoded response."""
        with self._counted(), logged_run(function, CALLED) as run_id:
            # In another thread: a large body takes its time, and the loop serves the SDK's client too.
            request = Run(function.name, value, {}, run_id)
            answer = await asyncio.to_thread(self._worker.submit, request)
            result: Datum | None = await asyncio.shield(asyncio.wrap_future(answer))
            return result

    def run_activity(self, function: Function, input_text: str | None) -> str:
        """JSON text in, JSON text out."""
        result = self.invoke(function, Call(Datum("null" if input_text is None else input_text, "string")))
        assert result is not None
        try:
            return _rewritten(str(result.value))
        except ValueError as error:
            raise UserCodeError.of(error) from error
