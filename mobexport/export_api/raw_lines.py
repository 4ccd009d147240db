"""The lines of many raw files as few blocks, wherever they come from: plain or gzip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mobexport.export_api.gunzip import gunzip
from mobexport.text_blocks import BLOCK_BYTES, MAX_LINE_BYTES, TextBlock, text_blocks

GZIP = ".ndjson.gz"
PARQUET = ".parquet"
_PARTS = 200  # parts of a block become parameters of one query


@dataclass(frozen=True)
class RawFile:
    """One raw file, as the plan of a task fixed it; the ending of its name says what it is."""

    name: str
    """Its place, below the app's folder: `events/2025-03-23/part-0.ndjson`."""
    chunks: Callable[[], Iterator[bytes]]
    """Reads it, from its start."""
    kind: str = ""
    """Its kind of raw data; empty: the export type's own."""

    def lines(self) -> Iterator[bytes]:
        """Chunks of its lines, unpacked."""
        return gunzip(self.chunks(), self.name) if self.name.endswith(GZIP) else self.chunks()


@dataclass
class Lines:
    """A run of lines to be read, of one file or a piece of it."""

    number: int
    """Of the file or piece, in the order of all."""
    chunks: Iterator[bytes]
    from_start: bool = True
    """Whether they begin where the file does."""
    count: int = 0
    """How many lines there were, when all are read."""


@dataclass(frozen=True)
class Part:
    """Lines of one file."""

    part: int
    """Number of the file, or of its slice, in the order of all."""
    block: TextBlock


def raw_blocks(
    files: Iterable[Lines],
    *,
    block_bytes: int = BLOCK_BYTES,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Iterator[list[Part]]:
    """All lines of the files, counted, in their order. Small files share a block: a block costs queries."""
    parts: list[Part] = []
    size = 0
    for file in files:
        for block in text_blocks(
            file.chunks,
            block_bytes=block_bytes,
            max_line_bytes=max_line_bytes,
            from_start=file.from_start,
        ):
            file.count += block.lines
            if parts and size + block.size > block_bytes:
                yield parts
                parts, size = [], 0
            parts.append(Part(file.number, block))
            size += block.size
            if size >= block_bytes // 2 or len(parts) == _PARTS:
                yield parts
                parts, size = [], 0
    if parts:
        yield parts
