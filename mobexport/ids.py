"""Identifiers that sort by time of creation (RFC 9562 UUID version 7) and short random names."""

from __future__ import annotations

import re
import secrets
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

GUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
"""Pattern of a GUID with hyphens."""
_TASK_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_lock = threading.Lock()
_last = 0


def new_task_id(after: str | None = None) -> str:
    """A UUIDv7 in text form, greater than `after` and than every one made before by this process."""
    global _last
    with _lock:
        # Milliseconds in the upper 48 bits; the 12 bits below count on, so ids made at once sort too.
        floor = _count(after) if after else 0
        _last = max(_last + 1, floor + 1, time.time_ns() // 1_000_000 << 12)
        count = _last
    value = (count >> 12) << 80 | 0x7 << 76 | (count & 0xFFF) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def is_task_id(text: str) -> bool:
    """Whether the text is spelled like a task's id."""
    return _TASK_ID.fullmatch(text) is not None


def created_at(task_id: str) -> datetime:
    """The instant in a task's id, to the millisecond."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=_count(task_id) >> 12)


def _count(task_id: str) -> int:
    """The 60 bits that order ids: milliseconds, then a count."""
    value = uuid.UUID(task_id).int
    return (value >> 80) << 12 | (value >> 64 & 0xFFF)


def new_secret_name() -> str:
    """20 hexadecimal digits, beyond guessing."""
    return secrets.token_hex(10)
