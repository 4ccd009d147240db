"""Time as the app writes it: UTC, RFC 3339, `Z`."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present instant, in UTC."""
    return datetime.now(UTC)


def stamp(at: datetime | None = None) -> str:
    """`2026-11-24T00:10:35.123Z`: an instant (default: now) in milliseconds."""
    return (at or now()).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_stamp(text: object) -> datetime:
    """The instant of a row's time; one that nobody can read counts as long ago."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
