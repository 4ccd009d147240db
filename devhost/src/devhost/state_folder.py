"""State folder of a host, locked for one host at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devhost.errors import HostError, StateLockedError

_PATIENCE_SECONDS = 2.0
"""Wait for the lock: a host killed a moment ago may still be ending."""


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Make and lock the folder; the lock ends with the process and its children, however they end.

    Raises StateLockedError, or HostError when the folder cannot be used.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise HostError(
            f"the state folder {state} cannot be used: {error}; choose one with --state"
        ) from error
    try:
        until = time.monotonic() + _PATIENCE_SECONDS
        while not _try_lock(descriptor):
            if time.monotonic() > until:
                raise StateLockedError(
                    f"another host uses the state folder {state}; stop it, or choose another one with --state"
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
