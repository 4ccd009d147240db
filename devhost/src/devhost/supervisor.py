"""Hot reload: the host runs in a child process, which a change of the app's files replaces.

The parent holds what must outlive a restart (the port, so that nobody is refused meanwhile, the lock of the
state folder, Azurite) and imports nothing of the app. However one of the two ends, the other does too.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from devhost.life import WORKER_LOST, end_with_parent
from devhost.watch import Watch

_DEBOUNCE_SECONDS = 0.3
_RELOAD_DRAIN_SECONDS = 5.0
"""After that, running functions are ended and run again with the new code."""
_DOWN_TEXT = b"The app could not be loaded after a change; the terminal tells why.\n"
_DOWN = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_DOWN_TEXT), _DOWN_TEXT)
)
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Supervisor:
    """Parent process; `serve` runs the host in the child until SIGTERM and gives the exit code."""

    def __init__(
        self,
        serve: Callable[[], int],
        watch: Watch,
        listener: socket.socket,
        say: Callable[[str], None],
    ) -> None:
        self._serve = serve
        self._watch = watch
        self._listener = listener
        self._say = say
        self._wake = threading.Event()
        self._signals = 0

    def run(self) -> int:
        """Run until asked to stop; gives the last child's exit code, or ends by the signal that ended it."""
        for number in _STOP_SIGNALS:
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: self._wake.set())
        is_first = True
        while True:
            child = self._spawn()
            status = self._attend(child)
            if status is None:  # a change
                self._end(child, _RELOAD_DRAIN_SECONDS)
            elif os.WIFEXITED(status) and os.WEXITSTATUS(status) == WORKER_LOST and not self._signals:
                self._say("Starting the host again …")
            elif not is_first and os.WIFEXITED(status) and os.WEXITSTATUS(status) == 1 and not self._signals:
                self._say("Waiting for the next change of the app's files …")
                if not self._wait_while_down():
                    return 1
            else:
                return self._ended_like(status)
            is_first = False

    def _on_stop(self, _number: int, _frame: object) -> None:
        self._signals += 1
        self._wake.set()

    def _attend(self, child: int) -> int | None:
        """Exit status of the child, or None when files have changed."""
        forwarded = 0
        while True:
            self._wake.wait(self._watch.pause)
            self._wake.clear()
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
            if self._signals:
                # The second one means: now.
                if forwarded < self._signals:
                    os.kill(child, signal.SIGTERM if self._signals == 1 else signal.SIGKILL)
                    forwarded = self._signals
            elif self._changed():
                return None

    def _changed(self) -> bool:
        changes = self._watch.changes()
        if not changes:
            return False
        self._say(f"Change of {', '.join(changes[:3])}{' …' if changes[3:] else ''} detected: restarting …")
        while changes:  # until it is quiet: editors and `git checkout` write more than once
            time.sleep(_DEBOUNCE_SECONDS)
            changes = self._watch.changes()
        return True

    def _wait_while_down(self) -> bool:
        """Wait until files change; False when asked to stop. Callers get a 503 meanwhile."""
        self._listener.settimeout(0)
        try:
            while not self._changed():
                if self._signals:
                    return False
                self._turn_away()
                self._wake.wait(self._watch.pause)
                self._wake.clear()
        finally:
            self._listener.settimeout(None)
        return True

    def _turn_away(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    connection.settimeout(0.2)
                    connection.recv(65536)
                    connection.sendall(_DOWN)

    def _spawn(self) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        parent, (reader, writer) = os.getpid(), os.pipe()
        # Held back until the child has handlers of its own: one that came in between would be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        child = os.fork()
        if not child:
            os.close(writer)
            self._become_host(parent, reader)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        os.close(reader)
        # Kept open and never written to: the child reads its end when we are gone.
        self._lifeline = os.fdopen(writer, "wb")
        return child

    def _become_host(self, parent: int, reader: int) -> NoReturn:
        code = 1
        try:
            for number in (*_STOP_SIGNALS, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
            _end_with(parent, reader)
            # A group of its own: Ctrl-C goes to the parent alone, which asks us to stop, once.
            os.setpgid(0, 0)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)  # reading the terminal from a background group would stop the process
            code = self._serve()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # what the parent holds must not be closed twice

    def _end(self, child: int, patience: float) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
        until = time.monotonic() + patience
        while not os.waitpid(child, os.WNOHANG)[0]:
            if time.monotonic() > until or self._signals > 1:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return
            self._wake.wait(0.05)
            self._wake.clear()

    def _ended_like(self, status: int) -> int:
        if os.WIFEXITED(status):
            return os.WEXITSTATUS(status)
        number = os.WTERMSIG(status)
        if not self._signals:
            with suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        # Asked to stop before it had a handler, or asked twice.
        return 0 if number == signal.SIGTERM else 1


def _end_with(parent: int, reader: int) -> None:
    """In the child: end when the parent is killed; at once on Linux, elsewhere by the pipe."""
    end_with_parent()
    if os.getppid() != parent:
        os._exit(1)

    def watch() -> None:
        os.read(reader, 1)
        os._exit(1)

    threading.Thread(target=watch, name="devhost-lifeline", daemon=True).start()
