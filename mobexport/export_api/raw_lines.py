"""The lines of many raw files as few blocks; changes when another raw format is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mobexport.text_blocks import BLOCK_BYTES, MAX_LINE_BYTES, Spoiled, text_blocks


@dataclass(frozen=True)
class RawFile:
    """One raw file, as the plan of a task fixed it."""

    name: str
    """Its place, below the app's folder: `events/2025-03-23/part-0.ndjson`."""
    chunks: Callable[[], Iterator[bytes]]
    """Reads it, from its start."""


@dataclass(frozen=True)
class Segment:
    """Where a file's lines begin in a block."""

    ordinal: int
    """Place of its first line in the block, from 1."""
    file: int
    """Index of the file."""
    first_line: int


@dataclass(frozen=True)
class RawBlock:
    """Lines of one or several files."""

    text: str
    segments: tuple[Segment, ...]
    spoiled: tuple[tuple[int, Spoiled], ...]
    """(index of the file, line), for lines that are empty in `text`."""


def raw_blocks(
    files: Iterable[RawFile], *, block_bytes: int = BLOCK_BYTES, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[RawBlock]:
    """All lines of the files, in their order. Small files share a block, since each block costs queries."""
    texts: list[str] = []
    segments: list[Segment] = []
    spoiled: list[tuple[int, Spoiled]] = []
    lines = size = 0
    for index, file in enumerate(files):
        for block in text_blocks(file.chunks(), block_bytes=block_bytes, max_line_bytes=max_line_bytes):
            segments.append(Segment(lines + 1, index, block.first_line))
            texts.append(block.text)
            spoiled.extend((index, fault) for fault in block.spoiled)
            lines += block.lines
            size += len(block.text)
            if size >= block_bytes // 2:
                yield RawBlock("\n".join(texts), tuple(segments), tuple(spoiled))
                texts, segments, spoiled = [], [], []
                lines = size = 0
    if segments:
        yield RawBlock("\n".join(texts), tuple(segments), tuple(spoiled))
