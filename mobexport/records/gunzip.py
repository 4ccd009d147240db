"""Take gzip apart as it comes: several members, bounded memory, faults by the file's name.

Source: RFC 1952; members may follow each other, and zeros may pad the end (as tar and tapes leave them).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final

from mobexport.errors import DataError, Truncated

GZIP = ".ndjson.gz"
MAGIC: Final = b"\x1f\x8b"
_IN_BYTES = 32 * 1024
_OUT_BYTES = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS


def unpacked(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """What a file holds, which is gzip if its name or its first bytes say so (no text begins like that)."""
    following = iter(chunks)
    start = b""
    while len(start) < len(MAGIC) and (chunk := next(following, None)) is not None:
        start += chunk
    whole = chain((start,) if start else (), following)
    return gunzip(whole, name) if name.endswith(GZIP) or start.startswith(MAGIC) else whole


def gunzip(
    chunks: Iterable[bytes], name: str, begins: Callable[[int], None] = lambda _: None
) -> Iterator[bytes]:
    """What the gzip file `name` holds, in chunks of 256 KiB at most.

    `begins` is told the byte where each member begins, before anything of it is given.
    Raises Truncated if it ends within a member, and DataError if it is no gzip or its checksum is wrong.
    """
    member: zlib._Decompress | None = None
    begun = False
    taken = 0
    # In small pieces, since what is left of one is copied each time that some of it is used.
    pieces = (chunk[at : at + _IN_BYTES] for chunk in chunks for at in range(0, len(chunk), _IN_BYTES))
    try:
        for piece in pieces:
            data = piece
            taken += len(piece)
            while data or (member and not member.eof):
                if member is None:
                    data = data.lstrip(b"\0") if begun else data
                    if not data:
                        break
                    begins(taken - len(data))
                    member, begun = zlib.decompressobj(_GZIP), True
                out = member.decompress(data, _OUT_BYTES)
                data = member.unconsumed_tail
                if out:
                    yield out
                elif not data and not member.eof:
                    break
                if member.eof:
                    data, member = member.unused_data, None
    except zlib.error as error:
        reason = str(error).rpartition(": ")[2]
        raise DataError(f"{name} is no intact gzip file ({reason}): replace it", code="BadGzip") from None
    if not begun or member is not None:
        raise Truncated(f"{name} ends within its gzip data: replace it by the whole file")
