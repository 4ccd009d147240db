"""Timestamps in Durable's history and on its APIs."""

from __future__ import annotations

from datetime import UTC, datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """`2026-11-23T21:14:55.7113Z`: trailing zeros of the fraction dropped, as .NET writes it."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if moment.microsecond:
        text += f".{moment.microsecond:06d}".rstrip("0")
    return text + "Z"


def parse_stamp(text: str) -> datetime:
    """Read a timestamp; a seventh digit (100 ns) is cut off. Naive text counts as UTC."""
    body = text.strip()
    if "." in body:
        head, rest = body.split(".", 1)
        digits = len(rest) - len(rest.lstrip("0123456789"))
        body = f"{head}.{rest[:digits][:6].ljust(6, '0')}{rest[digits:]}"
    moment = datetime.fromisoformat(body)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def whole_seconds(moment: datetime) -> str:
    """`2026-11-23T21:14:52Z`, the form of createdTime and lastUpdatedTime."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micros(moment: datetime) -> int:
    """Microseconds since 1970, exact (a float would round)."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_micros(value: int) -> datetime:
    seconds, rest = divmod(value, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
