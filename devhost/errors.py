"""Errors that end the host with one readable message, and the exit code each one has."""

from __future__ import annotations


class HostError(Exception):
    """The host cannot start or go on; the message is for the user, `exit_code` for scripts."""

    exit_code = 1


class AppError(HostError):
    """The function app cannot be imported or indexed."""

    exit_code = 2


class PortTakenError(HostError):
    """Another process listens on the port."""

    exit_code = 3


class StateLockedError(HostError):
    """Another host uses the same state folder."""

    exit_code = 4


class StorageUnreachableError(HostError):
    """A trigger needs a storage account that does not answer."""

    exit_code = 5


class UserCodeError(Exception):
    """A function of the app raised; carries what the host reports of it."""

    def __init__(self, exception_type: str, message: str, stack: str) -> None:
        super().__init__(f"{exception_type}: {message}")
        self.exception_type = exception_type
        self.message = message
        self.stack = stack
