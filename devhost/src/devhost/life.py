"""Ends of processes: a child's with its parent, and the exit code of a host that is to be started again."""

from __future__ import annotations

import ctypes
import signal
from contextlib import suppress

WORKER_LOST = 3
"""Exit code of a host whose worker died too often; who supervises it starts it again."""
_SET_PARENT_DEATH_SIGNAL = 1


def end_with_parent() -> None:
    """In the child: have Linux kill it when the thread that started it ends, also while it is stuck in C.

    Elsewhere nothing happens: a child must also read the end of a pipe.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
