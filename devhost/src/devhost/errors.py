"""Errors of the host, of one function, and of user code.

HostError                 the host cannot start or go on
├── AppError              the function app cannot be read, imported or indexed
├── PortTakenError        another process listens on the port
└── StateLockedError      another host uses the same state folder
IndexingError             one function cannot run; the others go on
UserCodeError             a function of the app raised
"""

from __future__ import annotations

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
    """A function of the app raised; holds what the host reports."""

    def __init__(self, exception_type: str, message: str, stack: str) -> None:
        super().__init__(f"{exception_type}: {message}")
        self.exception_type = exception_type
        self.message = message
        self.stack = stack
