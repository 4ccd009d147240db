"""Makes the text of some buckets of kept records, and counts what became of them.

A run of buckets is one unit of work: its memory is DuckDB's, its text goes to a file that stays in memory
while it is small.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from mobexport.duck import fetch_batches
from mobexport.export_api.assembling import Assembly
from mobexport.export_api.counts import Tally
from mobexport.export_types.model import ExportType

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BUCKETS = 256
"""The finest buckets there are: the first byte of the MD5."""
RUN_BYTES = 8 * 1024 * 1024
_IN_MEMORY = 32 * 1024 * 1024
_CHUNKED = 64 * 1024 * 1024


@dataclass(frozen=True)
class Run:
    """Consecutive buckets."""

    first: int
    last: int
    size: int = 0
    """Bytes of text, about."""


class Sink(Protocol):
    """What takes bytes one after the other."""

    def write(self, data: bytes, /) -> object: ...


class Text:
    """Bytes in memory, in a temporary file from some size on."""

    def __init__(self, workdir: Path) -> None:
        self._workdir = workdir
        self._parts: list[bytes] = []
        self._size = 0
        self._file: IO[bytes] | None = None

    def write(self, data: bytes) -> None:
        """Appends; nothing may be read before the last of it."""
        if self._file:
            self._file.write(data)
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > _IN_MEMORY:
            self._file = tempfile.TemporaryFile(dir=self._workdir)  # noqa: SIM115 - `close` closes it
            self._file.writelines(self._parts)
            self._parts.clear()

    def chunks(self) -> Iterator[bytes]:
        """All of it, from its start."""
        yield from self._parts
        if self._file:
            self._file.seek(0)
            while chunk := self._file.read(1024 * 1024):
                yield chunk

    def close(self) -> None:
        """Gives memory and file back."""
        self._parts.clear()
        if self._file:
            self._file.close()


@dataclass(frozen=True)
class Rendered:
    """The text of a run: no separator in front, the last element closed; empty if there are no elements."""

    text: Text
    tally: Tally


def run_bytes(export_type: ExportType) -> int:
    """How much text a run should hold: more where merging leaves little of it."""
    return RUN_BYTES * 3 if export_type.merge else RUN_BYTES


def runs(sizes: Sequence[tuple[int, int]], most: int) -> list[Run]:
    """Runs that hold all buckets given as (bucket, bytes), in order, of `most` bytes if possible."""
    found: list[Run] = []
    for bucket, size in sorted(sizes):
        if found and found[-1].size + size <= most:
            found[-1] = Run(found[-1].first, bucket, found[-1].size + size)
        else:
            found.append(Run(bucket, bucket, size))
    return found


def render(
    cursor: DuckDBPyConnection, assembly: Assembly, sources: Sequence[str], workdir: Path, size: int
) -> Rendered:
    """The text of the records in `sources`: relations of kept records, and of those of a joined type."""
    source = sources[0]
    if assembly.export_type.joined:
        for statement in assembly.join(sources[1]):
            cursor.execute(statement)
    for statement in assembly.prepare(source):
        cursor.execute(statement)
    tally = Tally()
    _, tally.superseded, tally.removed, tally.outside, tally.exported, tally.elements = _numbers(
        cursor, assembly.counts(source)
    )
    if assembly.export_type.joined:
        _, superseded, removed, outside = _numbers(cursor, assembly.joined_counts())
        tally.add(Tally(superseded, removed, outside))
    text = Text(workdir)
    if size <= _CHUNKED:
        for batch in fetch_batches(cursor.execute(assembly.texts(source, chunked=True)), 16):
            for (chunk,) in batch:
                text.write(chunk)
    else:
        for batch in fetch_batches(cursor.execute(assembly.texts(source, chunked=False)), 2048):
            text.write(b"".join(row[0] for row in batch))
    if tally.elements:
        text.write(assembly.closing.encode())
    return Rendered(text, tally)


def _numbers(cursor: DuckDBPyConnection, query: str) -> tuple[int, ...]:
    return tuple(int(value) for value in cursor.execute(query).fetchall()[0])
