"""Cut the bytes of a file into blocks of lines with their numbers, wherever its chunks end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

BLOCK_BYTES: Final = 256 * 1024
"""A block and what is made of it should stay in the processor's caches. Not above `checks.MAX_TEXT`: what is
longer has each line's length looked at."""
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
    """Bytes of the longest of them, or more."""
    too_long: Mapping[int, str] = field(default_factory=dict)
    """What to show of lines that are too long, by their place in the block."""


def line_blocks(
    chunks: Iterable[bytes], *, block_bytes: int | None = None, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[LineBlock]:
    """All lines of a file. Only `\\n` ends one.

    Memory: a block, or the longest line allowed (`MAX_LINE_BYTES`).
    """
    step = block_bytes or BLOCK_BYTES
    # One more, as it may end in \r; and a mark is no part of the line.
    most = max_line_bytes + 1 + len(MARK)
    first_line = 1
    held: list[bytes] = []
    size = 0
    for piece in (chunk[at : at + step] for chunk in chunks for at in range(0, len(chunk), step)):
        head, *others = piece.split(b"\n")
        size += len(head)
        held.append(head)
        if size > most:
            held = [b"".join(held)[: _SHOWN + len(MARK)]]
        if others:
            lines = [b"".join(held), *others[:-1]]
            # Those behind the first one are of one piece.
            length = max(len(lines[0]), step)
            yield _block(first_line, lines, length, max_line_bytes, is_cut=size > most)
            first_line += len(lines)
            held, size = others[-1:], len(others[-1])
    if size:
        yield _block(first_line, [b"".join(held)], size, max_line_bytes, is_cut=size > most)


def _block(first_line: int, lines: list[bytes], length: int, limit: int, *, is_cut: bool) -> LineBlock:
    too_long = {}
    for place, line in enumerate(lines if is_cut or length > limit else ()):
        if (is_cut and place == 0) or len(line.removeprefix(MARK).removesuffix(b"\r")) > limit:
            lines[place] = line[:_SHOWN]
            shown = lines[place].removeprefix(MARK).decode(errors="backslashreplace")
            too_long[place] = f"{shown}… [cut: the line is longer than {limit} bytes]"
    return LineBlock(first_line, lines, length, too_long)
