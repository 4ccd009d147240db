"""Errors that end the host with one readable message, and the one that user code ends in."""

from __future__ import annotations


class HostError(Exception):
    """The host cannot start or go on; the message is for the user."""


class AppError(HostError):
    """The function app cannot be imported or indexed."""


class PortTakenError(HostError):
    """Another process listens on the port."""


class StateLockedError(HostError):
    """Another host uses the same state folder."""


class UserCodeError(Exception):
    """A function of the app raised; carries what the host reports of it."""

    def __init__(self, exception_type: str, message: str, stack: str) -> None:
        super().__init__(f"{exception_type}: {message}")
        self.exception_type = exception_type
        self.message = message
        self.stack = stack
