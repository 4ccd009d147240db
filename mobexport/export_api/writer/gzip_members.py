"""Cuts of a large gzip file between its members, for slices that are read side by side.

Bytes that look like a member's beginning may stand anywhere in packed data, so a cut is checked twice: when
it is planned, by unpacking what follows it, and when it is read: the slice before it unpacks without a gap
from a member's beginning on, and must come by exactly there. So the first slice proves the second one's
beginning, and so on; two slices never read, or leave out, the same member. A file that does not pass fails
its task in words, as a damaged one does.

A line may go on in the next member. It belongs to the slice in which the newline before it stands.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Final

from mobexport.errors import DataError
from mobexport.records.gunzip import MAGIC, gunzip

Read = Callable[[int, int], Iterator[bytes]]
"""Gives a file's bytes of a range."""

_START: Final = MAGIC + b"\x08"
_RESERVED: Final = 0b1110_0000
_GZIP: Final = 16 + zlib.MAX_WBITS
_PROBE: Final = 64 * 1024
_LARGEST_READ: Final = 4 * 1024 * 1024
_REACH: Final = 4
"""How many slices' worth are looked through for a member's beginning; a file without one is not cut."""


def member_starts(read: Read, size: int, every: int) -> list[int]:
    """Where members begin, at least `every` bytes apart, so that slices may begin there.

    Reads little of a file of many members, and `_REACH` times `every` bytes of one that has none.
    """
    found: list[int] = []
    at = every
    while at < size and (start := _next_start(read, at, min(at + _REACH * every, size), size)) is not None:
        found.append(start)
        at = start + every
    return found


def _next_start(read: Read, at: int, end: int, size: int) -> int | None:
    """The first place from `at` on and before `end` where a member begins, by all that can be seen there."""
    window = _PROBE
    while at < end:
        # So much more that a beginning at its end is seen whole.
        data = b"".join(read(at, min(at + window + len(_START) - 1, size)))
        place = data.find(_START)
        while 0 <= place < window:
            if _is_member(b"".join(read(at + place, min(at + place + _PROBE, size)))):
                return at + place
            place = data.find(_START, place + 1)
        at += window
        window = min(window * 4, _LARGEST_READ)
    return None


def _is_member(head: bytes) -> bool:
    """Whether bytes unpack as a member does: to its end and with its checksum, or as far as they go."""
    if len(head) < len(_START) + 1 or head[3] & _RESERVED:
        return False
    member = zlib.decompressobj(_GZIP)
    try:
        return bool(member.decompress(head, 16 * _PROBE)) or member.eof
    except zlib.error:
        return False


def lines_of_members(read: Read, first: int, end: int, size: int, name: str) -> Iterator[bytes]:
    """What the members in [first, end) of a file of `size` bytes hold, as whole lines.

    These are the lines behind the first newline in there (at the file's start: all), up to the first newline
    in the members behind them. Raises DataError if no member ends at `end`, and what `gunzip` raises.
    """
    is_behind = False

    def begins(at: int) -> None:
        nonlocal is_behind
        is_behind = is_behind or first + at == end

    is_inside = first == 0
    for chunk in gunzip(read(first, size), name, begins):
        data = chunk
        if is_behind:
            # What is not inside has no newline, and so no line.
            head, newline, _ = data.partition(b"\n")
            if is_inside:
                yield head + newline
            if newline or not is_inside:
                return
            continue
        if not is_inside:
            _, newline, data = data.partition(b"\n")
            is_inside = bool(newline)
        if data:
            yield data
    if end < size and not is_behind:
        raise DataError(
            f"{name} has at byte {end} what looks like a gzip member and is none: store it plain, or as"
            " Parquet",
            code="BadGzip",
        )
