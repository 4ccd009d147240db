"""Identifiers that sort by time of creation (RFC 9562 UUID version 7) and short random names."""

from __future__ import annotations

import secrets
import threading
import time
import uuid

_lock = threading.Lock()
_last = 0


def new_task_id() -> str:
    """A UUIDv7 in text form; within one process each is greater than the one before."""
    global _last
    with _lock:
        # Milliseconds in the upper 48 bits; the 12 bits below count on, so ids made at once sort too.
        _last = max(_last + 1, time.time_ns() // 1_000_000 << 12)
        stamp = _last
    value = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def new_container_suffix() -> str:
    """20 characters for a container's name, beyond guessing."""
    return secrets.token_hex(10)
