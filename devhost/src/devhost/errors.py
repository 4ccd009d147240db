"""Errors of the host, of one function, and of user code.

HostError                 the host cannot start or go on
├── AppError              the function app cannot be read, imported or indexed
├── PortTakenError        another process listens on the port
├── StateLockedError      another host uses the same state folder
└── StateDamagedError     the file of the state cannot be read
IndexingError             one function cannot run; the others go on
UserCodeError             a function of the app raised
WorkerExitedError         the worker process died under a run
NoWorkerError             the host ends: no worker process takes a run any more
"""

from __future__ import annotations

import traceback
from typing import Self

HOST = "Microsoft.Azure.WebJobs.Host"
SCRIPT_HOST = "Microsoft.Azure.WebJobs.Script"
EXTENSIONS = "Microsoft.Azure.WebJobs.Extensions"
BLOBS = "Microsoft.Azure.WebJobs.Extensions.Storage.Blobs"
QUEUES = "Microsoft.Azure.WebJobs.Extensions.Storage.Queues"


class HostError(Exception):
    """The host cannot start or go on; the message is for the user."""


class AppError(HostError):
    """The function app cannot be imported or indexed."""


class PortTakenError(HostError):
    """Another process listens on the port."""


class StateLockedError(HostError):
    """Another host uses the same state folder."""


class StateDamagedError(HostError):
    """The file of the state cannot be read."""


class IndexingError(ValueError):
    """A function cannot run. `source` is the assembly that the real host names."""

    def __init__(self, message: str, source: str = HOST) -> None:
        super().__init__(message)
        self.source = source

    def of(self, function: str) -> str:
        """Text for `GET /admin/functions/{name}/status`."""
        if self.source == SCRIPT_HOST:
            return str(self)
        return f"{HOST}: Error indexing method 'Functions.{function}'. {self.source}: {self}"


class UserCodeError(Exception):
    """A function of the app raised; holds what the host reports, and the whole `trace` for the log."""

    def __init__(self, exception_type: str, message: str, stack: str, trace: str = "") -> None:
        super().__init__(f"{exception_type}: {message}")
        self.exception_type = exception_type
        self.message = message
        self.stack = stack
        self.trace = trace

    @classmethod
    def of(cls, error: Exception) -> Self:
        stack = "".join(traceback.format_tb(error.__traceback__))
        return cls(type(error).__name__, str(error), stack, "".join(traceback.format_exception(error)))


class WorkerExitedError(Exception):
    """The worker process died under a run, in the real host's words; `code` as in a shell: 137 for -9."""

    def __init__(self, python: str, code: int) -> None:
        super().__init__(f"{python} exited with code {code} (0x{code:X})")


class NoWorkerError(Exception):
    """The host ends and has no worker process; what was asked for runs at the next start."""
