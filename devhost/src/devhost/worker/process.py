"""The worker process as the host sees it: started, asked, started again when it dies.

Written after RpcFunctionInvocationDispatcher and WorkerProcess of the Functions host: a worker that dies is
replaced, and after the third death, with never more than half an hour between two, the host ends itself.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from devhost import console
from devhost.errors import AppError, NoWorkerError, UserCodeError, WorkerExitedError
from devhost.worker.messages import Answer, Failure, Function, Indexed, Refused, Request, Setup

_log = logging.getLogger("devhost")
MOST_DEATHS = 3
FORGOTTEN_AFTER_SECONDS = 30 * 60.0
_PATIENCE_SECONDS = 2.0
"""Time to end for a worker whose pipe was closed."""


class WorkerProcess:
    """One worker process at a time. `lost` is called when the last one has died."""

    def __init__(
        self,
        setup: Setup,
        lost: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup = setup
        self._lost = lost
        self._clock = clock
        self.kills: Callable[[str], bool] = lambda _function: False
        """Whether the worker is killed after a function's run was sent to it; harsh mode decides."""
        self.is_lost = False
        """Whether the last worker has died, and the host must end."""
        self._functions: Future[tuple[Function, ...]] = Future()
        self._lock = threading.Lock()
        """Of everything below, held for moments only; `_sending` is held while a pipe takes a message."""
        self._sending = threading.Lock()
        self._pipe: Connection | None = None
        """To the worker that is ready; None while there is none."""
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._number = 0
        self._backlog: dict[int, Request] = {}
        """Requests for the next worker, by number."""
        self._pending: dict[int, Future[Any]] = {}
        # One thread for all workers: Linux kills a worker when the thread that started it ends.
        self._keeper = threading.Thread(target=self._keep, name="devhost-worker", daemon=True)

    def start(self) -> None:
        self._keeper.start()

    def functions(self) -> tuple[Function, ...]:
        """Wait for the functions of the app. Raises AppError in the worker's words."""
        return self._functions.result()

    def ask(self, request: Request) -> Any:
        """Answer of the worker. Raises UserCodeError, WorkerExitedError, NoWorkerError."""
        return self.submit(request).result()

    def submit(self, request: Request) -> Future[Any]:
        """Future of an answer; it waits while a worker is being started."""
        answer: Future[Any] = Future()
        answer.set_running_or_notify_cancel()  # from here on nobody cancels it
        with self._lock:
            if self.is_lost or self._stopping:
                answer.set_exception(NoWorkerError())
                return answer
            self._number += 1
            self._pending[self._number] = answer
            self._backlog[self._number] = request
        self._flush()
        return answer

    def stop(self) -> None:
        """End the worker; nothing should run in it any more."""
        with self._lock:
            self._stopping = True
            process = self._process
            if self._pipe is not None:
                # Not closed: the keeper reads from it, and another thread may get its number meanwhile.
                _shut_down(self._pipe)
        self._keeper.join(_PATIENCE_SECONDS)
        if self._keeper.is_alive() and process is not None:
            process.kill()
            self._keeper.join(_PATIENCE_SECONDS)

    def _flush(self) -> None:
        """Send what waits; what a dying worker did not take waits for the next."""
        with self._sending:
            while True:
                with self._lock:
                    pipe, process = self._pipe, self._process
                    if pipe is None or process is None or not self._backlog:
                        return
                    number = next(iter(self._backlog))
                    request = self._backlog.pop(number)
                try:
                    pipe.send((number, request))
                except OSError:
                    with self._lock:
                        self._pipe = None
                        if number in self._pending:
                            self._backlog = {number: request, **self._backlog}
                    return
                if self.kills(request.function):
                    os.kill(process.pid, signal.SIGKILL)

    # --- the keeper's thread ------------------------------------------------------------------------------

    def _keep(self) -> None:
        deaths: list[float] = []
        while True:
            code = self._run_worker()
            if self._stopping or self._functions.exception():
                self._give_up()
                return
            with self._lock:
                died = {n: self._pending.pop(n) for n in [*self._pending] if n not in self._backlog}
            now = self._clock()
            if deaths and now - deaths[-1] > FORGOTTEN_AFTER_SECONDS:
                deaths.clear()
            deaths.append(now)
            _log.error(
                "Language worker process exited: %s exited with code %d (0x%X); %d runs were in it",
                sys.executable,
                code,
                code,
                len(died),
            )
            self.is_lost = len(deaths) == MOST_DEATHS
            self._fail_all(died, WorkerExitedError(sys.executable, code))
            if self.is_lost:
                _log.error(
                    "Exceeded language worker restart retry count for runtime:python. Shutting down and"
                    " proactively recycling the Functions Host to recover"
                )
                self._give_up()
                self._lost()
                return

    def _run_worker(self) -> int:
        """Start a worker and pass on what it says until it is gone; gives its exit code as a shell does."""
        ours, theirs = socket.socketpair()
        # -P: no module of the app takes the place of one that the worker itself imports.
        command = [sys.executable, "-P", "-m", "devhost.worker", str(theirs.fileno())]
        with theirs:
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()])  # noqa: S603 - ours
        with self._lock:
            self._process = process
        pipe = Connection(ours.detach())
        with suppress(EOFError, OSError):  # gone, or ending
            pipe.send(self._setup)
            self._ready(pipe, process, pipe.recv())
            while True:
                self._told(pipe.recv())
        with self._lock:
            self._pipe = self._process = None
        with self._sending:
            pipe.close()
        status = process.wait()
        code = 128 - status if status < 0 else status
        if not self._functions.done():
            why = f"the worker process ended with code {code} while it imported the app"
            self._functions.set_exception(AppError(why))
        return code

    def _ready(self, pipe: Connection, process: subprocess.Popen[bytes], told: Indexed | Refused) -> None:
        if isinstance(told, Refused):
            if not self._functions.done():
                self._functions.set_exception(AppError(told.why))
            else:
                _log.error("%s", told.why)
            return
        with self._lock:
            if self._stopping:
                _shut_down(pipe)
                return
            self._pipe = pipe
        self._flush()
        console.say(f"Worker process started and initialized (process {process.pid}).")
        if not self._functions.done():
            self._functions.set_result(told.functions)

    def _told(self, told: Answer | Failure) -> None:
        with self._lock:
            answer = self._pending.pop(told.number)
        if isinstance(told, Failure):
            error = UserCodeError(told.exception_type, told.message, told.stack, told.trace)
            answer.set_exception(error)
            return
        try:
            result = pickle.loads(told.result)  # noqa: S301 - of our own worker
        except Exception as error:
            answer.set_exception(UserCodeError.of(error))
        else:
            answer.set_result(result)

    def _give_up(self) -> None:
        """Fail what waits for a worker that never comes."""
        with self._lock:
            left, self._pending, self._backlog = self._pending, {}, {}
        self._fail_all(left, NoWorkerError())

    @staticmethod
    def _fail_all(answers: dict[int, Future[Any]], error: Exception) -> None:
        for answer in answers.values():
            answer.set_exception(error)


def _shut_down(pipe: Connection) -> None:
    """End both directions of a pipe that a thread reads; its descriptor stays."""
    with suppress(OSError), socket.socket(fileno=os.dup(pipe.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)
