"""The lines of many raw files as few blocks; changes when another raw format is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mobexport.text_blocks import BLOCK_BYTES, MAX_LINE_BYTES, Spoiled, text_blocks

_PARTS = 200  # parts of a block become parameters of one query


@dataclass(frozen=True)
class RawFile:
    """One raw file, as the plan of a task fixed it."""

    name: str
    """Its place, below the app's folder: `events/2025-03-23/part-0.ndjson`."""
    chunks: Callable[[], Iterator[bytes]]
    """Reads it, from its start."""


@dataclass(frozen=True)
class Part:
    """Lines of one file."""

    file: int
    """Index of the file."""
    first_line: int
    text: str
    """The lines, joined by newlines; those that are `spoiled` or `long` are empty."""
    spoiled: tuple[Spoiled, ...]
    long: tuple[tuple[int, str], ...]
    """Long lines with their numbers."""


def raw_blocks(
    files: Iterable[RawFile], *, block_bytes: int = BLOCK_BYTES, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[list[Part]]:
    """All lines of the files, in their order. Small files share a block, since each block costs queries."""
    block: list[Part] = []
    size = 0
    for index, file in enumerate(files):
        for lines in text_blocks(file.chunks(), block_bytes=block_bytes, max_line_bytes=max_line_bytes):
            block.append(Part(index, lines.first_line, lines.text, lines.spoiled, lines.long))
            size += len(lines.text) + sum(len(text) for _, text in lines.long)
            if size >= block_bytes // 2 or len(block) == _PARTS:
                yield block
                block, size = [], 0
    if block:
        yield block
