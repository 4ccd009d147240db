"""What one step may take of its instance; changes when a step needs another kind of room."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Megabytes of records in memory, and of temporary files."""

    memory_mb: int = 132
    """Records that a step holds before it writes them to temporary files; the step itself takes some more."""
    disk_mb: int = 400
    """Temporary files; beyond them a step fails and says what to raise."""
