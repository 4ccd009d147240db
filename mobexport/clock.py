"""Time as the app writes it: UTC, RFC 3339, `Z`."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present instant, in UTC."""
    return datetime.now(UTC)


def stamp(at: datetime | None = None) -> str:
    """`2026-11-24T00:10:35.123Z`: an instant (default: now) in milliseconds."""
    return (at or now()).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
