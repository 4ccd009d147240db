"""Limits of what one step takes of its instance: memory, temporary files."""

from __future__ import annotations

from dataclasses import dataclass

from mobexport.errors import DataError


@dataclass(frozen=True)
class Limits:
    """Megabytes of records in memory, and of temporary files."""

    memory_mb: int = 132
    """Records that a step holds before it writes them to temporary files; the step itself takes some more."""
    disk_mb: int = 400
    """Temporary files; beyond them a step fails and says what to raise."""

    @property
    def memory_bytes(self) -> int:
        """`memory_mb` in bytes."""
        return self.memory_mb * 1024 * 1024

    def check_disk(self, used: int, what: str) -> None:
        """Raises DataError (`TooLarge`) if `what` needs more bytes of temporary files."""
        if used > self.disk_mb * 1_000_000:
            raise DataError(
                f"the {what} do not fit into {self.disk_mb} MB of temporary disk: raise WORK_DISK_MB,"
                " or ask for fewer days",
                code="TooLarge",
            )
