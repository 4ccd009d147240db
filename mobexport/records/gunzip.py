"""Take gzip and zstd apart as they come: several members, bounded memory, faults by the file's name.

Sources: RFC 1952 (members may follow each other, and zeros may pad the end, as tar and tapes leave them),
RFC 8878.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final, cast

from isal import isal_zlib

from mobexport.errors import DataError, Truncated
from mobexport.records.raw_formats import Packing, split_ending
from mobexport.records.streams import stream_of

ZSTD: Final = b"\x28\xb5\x2f\xfd"
MAGIC: Final = b"\x1f\x8b"
_IN_BYTES = 32 * 1024
_OUT_BYTES = 256 * 1024
_NUMBER = re.compile(r"Error -?\d+ ")
_Error: Final = cast("type[Exception]", isal_zlib.error)
_GZIP = 16 + isal_zlib.MAX_WBITS


def unpacked(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """What a file holds, unpacked if its name or its first bytes say so (no text begins like that)."""
    following = iter(chunks)
    start = b""
    while len(start) < len(ZSTD) and (chunk := next(following, None)) is not None:
        start += chunk
    whole = chain((start,) if start else (), following)
    ending, packing = split_ending(name)
    # Of other names the content alone decides, as export files are called anything.
    said = packing if ending in (".ndjson", ".jsonl") else Packing.NONE
    if start.startswith(MAGIC) or (said is Packing.GZIP and not start.startswith(ZSTD)):
        return gunzip(whole, name)
    if start.startswith(ZSTD) or said is Packing.ZSTD:
        return _unzstd(whole, name)
    return whole


def _unzstd(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """What the zstd file `name` holds. Raises Truncated or DataError."""
    import pyarrow as pa

    stream = pa.CompressedInputStream(pa.PythonFile(stream_of(chunks), mode="r"), "zstd")
    while True:
        try:
            data = stream.read(_OUT_BYTES)
        except OSError as error:
            if error.errno is not None:
                raise
            if "runcated" in str(error):
                raise Truncated(f"{name} ends within its zstd data: replace it by the whole file") from None
            raise DataError(f"{name} is no intact zstd file: replace it", code="BadZstd") from None
        if not data:
            return
        yield data


def gunzip(
    chunks: Iterable[bytes], name: str, begins: Callable[[int], None] = lambda _: None
) -> Iterator[bytes]:
    """What the gzip file `name` holds, in chunks of 256 KiB at most.

    `begins` is told the byte where each member begins, before anything of it is given.
    Raises Truncated if it ends within a member, and DataError if it is no gzip or its checksum is wrong.
    """
    member: isal_zlib.Decompress | None = None
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
                    if data[:2] != MAGIC[: len(data)]:
                        raise _damaged(name, "what follows is no gzip" if begun else "no gzip at all")
                    begins(taken - len(data))
                    member, begun = isal_zlib.decompressobj(_GZIP), True
                out = member.decompress(data, _OUT_BYTES)
                data = member.unconsumed_tail
                if out:
                    yield out
                elif not data and not member.eof:
                    break
                if member.eof:
                    data, member = member.unused_data, None
    except _Error as error:
        raise _damaged(name, _NUMBER.sub("", str(error))) from None
    if not begun or member is not None:
        raise Truncated(f"{name} ends within its gzip data: replace it by the whole file")


def _damaged(name: str, reason: str) -> DataError:
    return DataError(f"{name} is no intact gzip file ({reason}): replace it", code="BadGzip")
