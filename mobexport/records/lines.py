"""Lines of bytes in blocks of bounded size, with their numbers, wherever the chunks of a file were cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

BLOCK_BYTES: Final = 128 * 1024
"""A block and what is made of it should stay in the processor's caches."""
MAX_LINE_BYTES: Final = 16 * 1024 * 1024
MARK: Final = b"\xef\xbb\xbf"
"""A byte order mark in UTF-8; joined files have them in front of any line."""
_SHOWN = 1024


@dataclass(frozen=True)
class LineBlock:
    """Consecutive lines of one file."""

    first_line: int
    """Number of the first line, from 1."""
    lines: Sequence[bytes]
    """Without their newlines; of lines that are too long, the beginning."""
    longest: int
    """Bytes of the longest of them."""
    too_long: Mapping[int, str] = field(default_factory=dict)
    """What to show of lines that are too long, by their place in the block."""


def line_blocks(
    chunks: Iterable[bytes], *, block_bytes: int | None = None, max_line_bytes: int | None = None
) -> Iterator[LineBlock]:
    """All lines of a file. Only `\\n` ends one.

    Memory: a block, or the longest line allowed (`MAX_LINE_BYTES`).
    """
    block_bytes = block_bytes or BLOCK_BYTES
    longest = max_line_bytes or MAX_LINE_BYTES
    first_line = 1
    held: list[bytes] = []
    size = 0
    for piece in _pieces(chunks, block_bytes):
        lines = piece.split(b"\n")
        if len(lines) == 1:
            size += len(piece)
            # One more, as it may end in \r; and a mark is no part of the line.
            if size <= longest + 1 + len(MARK) or not held:
                held.append(piece)
            else:
                held = [b"".join(held)[: _SHOWN + len(MARK)]]
            continue
        cut = size > longest + 1 + len(MARK)
        lines[0] = b"".join([*held, lines[0]])
        rest = lines.pop()
        yield _block(first_line, lines, longest, cut=cut)
        first_line += len(lines)
        held, size = [rest] if rest else [], len(rest)
    if held:
        yield _block(first_line, [b"".join(held)], longest, cut=size > longest + 1 + len(MARK))


def _pieces(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    for chunk in chunks:
        if len(chunk) <= size:
            if chunk:
                yield chunk
            continue
        for at in range(0, len(chunk), size):
            yield chunk[at : at + size]


def _block(first_line: int, lines: list[bytes], longest: int, *, cut: bool) -> LineBlock:
    too_long = {}
    length = max(map(len, lines))
    if cut or length > longest:
        for place, line in enumerate(lines):
            if (cut and place == 0) or len(line.removeprefix(MARK).removesuffix(b"\r")) > longest:
                lines[place] = line[:_SHOWN]
                shown = lines[place].removeprefix(MARK).decode(errors="backslashreplace")
                too_long[place] = f"{shown}… [cut: the line is longer than {longest} bytes]"
    return LineBlock(first_line, lines, length, too_long)
