"""Child processes: each in its own process group, ended with this one."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent


class StartError(RuntimeError):
    """Something that has to run did not start; the message says what and why."""


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on. All are held until the last is found, so they differ from each other."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [int(one.getsockname()[1]) for one in sockets]


def is_listening(port: int) -> bool:
    """Whether something accepts connections on that port of this machine."""
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


def tail(path: Path, lines: int = 25) -> str:
    """The last lines of a log, for a message; empty when there is no log."""
    if not path.is_file():
        return ""
    return "\n".join(path.read_text("utf-8", errors="replace").splitlines()[-lines:])


class Process:
    """A child in a process group of its own, its output in a log file.

    Its own group, because Ctrl-C goes to the whole group of the terminal: we want to end the children
    ourselves and in order, and `kill` must reach what the child has started in turn.
    """

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str], cwd: Path = ROOT) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self._child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )

    @property
    def pid(self) -> int:
        """The child's process id, which is its group's as well."""
        return self._child.pid

    def ended(self) -> bool:
        """Whether the child is gone."""
        return self._child.poll() is not None

    def exit_code(self) -> int | None:
        """The child's exit code, or None while it runs."""
        return self._child.poll()

    def kill(self) -> None:
        """`kill -9` of the child and of everything it started."""
        self._signal(signal.SIGKILL)
        self._child.wait(10)

    def stop(self, seconds: float = 10) -> None:
        """Ask the child to end, and insist after some seconds. Harmless when it is gone already."""
        if not self.ended():
            self._signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(seconds)
        # Also when the child itself is gone: what it had started may still be there.
        self._signal(signal.SIGKILL)
        self._child.wait(10)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _end_with_parent() -> None:
    """In the child: have the kernel end it when its parent is killed and cannot clean up."""
    set_parent_death_signal = 1
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def wait_until(ready: Callable[[], bool], process: Process, what: str, seconds: float) -> None:
    """Wait until `ready` says so; StartError with the end of the log when the process ends or time is up."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.ended():
            raise StartError(f"{what} ended with exit code {process.exit_code()}:\n{tail(process.log)}")
        if time.monotonic() > deadline:
            raise StartError(f"{what} did not answer within {seconds:.0f} s:\n{tail(process.log)}")
        time.sleep(0.05)
