"""Lines of bytes made into bounded blocks that DuckDB can take, with exact numbers.

Buffers are copied and checked as a whole; single lines are looked at only in a buffer that has a fault.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mobexport.json_text import LONG_TEXT, shown

BLOCK_BYTES = 4 * 1024 * 1024
MAX_LINE_BYTES = 16 * 1024 * 1024
_SHOWN = 1024
_DECODED = 64 * 1024
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Spoiled:
    """A line that cannot be handed on as text."""

    line: int
    rule: str
    """`not-utf8`, `not-json` (a NUL byte, which JSON never has) or `too-long`."""
    original: str
    """The line, bytes that are no UTF-8 as `\\xNN`; of a long line, its beginning and a mark."""


@dataclass(frozen=True)
class TextBlock:
    """Consecutive lines of one file."""

    first_line: int
    """Number of the first line, from 1."""
    lines: int
    data: bytes
    """The lines, joined by newlines, in UTF-8 without NUL; spoiled and long ones are empty."""
    spoiled: tuple[Spoiled, ...] = ()
    long: tuple[tuple[int, str], ...] = ()
    """Long lines with their numbers: good text, but not for DuckDB. Empty in `data`."""

    @property
    def size(self) -> int:
        """Bytes, those of long lines included."""
        return len(self.data) + sum(len(text) for _, text in self.long)


def text_blocks(
    chunks: Iterable[bytes],
    *,
    block_bytes: int = BLOCK_BYTES,
    max_line_bytes: int = MAX_LINE_BYTES,
    from_start: bool = True,
) -> Iterator[TextBlock]:
    """Blocks of the lines of a file, wherever its chunks were cut.

    Only `\\n` ends a line. A byte order mark at the start of the file is no part of the first line, if the
    chunks are `from_start`. Memory: two blocks, or a block and the longest line allowed.
    """
    first_line = 1
    for data, too_long in _pieces(_prepared(chunks, block_bytes, from_start), block_bytes, max_line_bytes):
        block = _block(data, first_line, max_line_bytes, too_long=too_long)
        yield block
        first_line += block.lines


def _prepared(chunks: Iterable[bytes], size: int, from_start: bool) -> Iterator[bytes]:
    """The same bytes without a byte order mark at the start, in chunks of `size` at most."""
    start: bytes | None = b"" if from_start else None
    for chunk in chunks:
        data = chunk
        if start is not None:
            start += chunk
            if len(start) < 3:
                continue
            data, start = start.removeprefix(_MARK), None
        for at in range(0, len(data), size):
            yield data[at : at + size]
    if start and start != _MARK:
        yield start


def _pieces(chunks: Iterable[bytes], block_bytes: int, max_line_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """(whole lines without the last newline, false), or (beginning of one line that is too long, true)."""
    held: list[bytes] = []
    size = 0
    newline: tuple[int, int] | None = None
    """The last one in `held`: number of the chunk, place in it."""
    skipping = False
    for chunk in chunks:
        rest = chunk
        if skipping:
            end = rest.find(b"\n")
            if end < 0:
                continue
            yield held[0], True
            held, size, skipping = [], 0, False
            rest = rest[end + 1 :]
        held.append(rest)
        size += len(rest)
        if (at := rest.rfind(b"\n")) >= 0:
            newline = len(held) - 1, at
        if newline and size >= block_bytes:
            number, at = newline
            yield b"".join([*held[:number], memoryview(held[number])[:at]]), False
            held = [held[number][at + 1 :], *held[number + 1 :]]
            size, newline = sum(map(len, held)), None
        if not newline and size > max_line_bytes + 1:  # one more, as it may end in \r
            held, skipping = [b"".join(held)[:_SHOWN]], True
    if skipping:
        yield held[0], True
    elif size:
        yield b"".join(held).removesuffix(b"\n"), False


def _block(data: bytes, first_line: int, max_line_bytes: int, *, too_long: bool) -> TextBlock:
    if too_long:
        return TextBlock(first_line, 1, b"", (_too_long(data, first_line, max_line_bytes),))
    count = data.count(b"\n") + 1
    long_lines = _may_have_long_lines(data, min(LONG_TEXT, max_line_bytes))
    if b"\0" not in data and not long_lines and (data.isascii() or _is_utf8(data)):
        return TextBlock(first_line, count, data)
    lines = data.split(b"\n")
    spoiled, long = [], []
    for at, line in enumerate(lines):
        if found := _fault(line.removesuffix(b"\r"), first_line + at, max_line_bytes):
            spoiled.append(found)
            lines[at] = b""
        elif len(line) > LONG_TEXT and line.strip():
            long.append((first_line + at, line.decode()))
            lines[at] = b""
    return TextBlock(first_line, count, b"\n".join(lines), tuple(spoiled), tuple(long))


def _is_utf8(data: bytes) -> bool:
    """Looks at a little at a time: the whole as text may take four times its bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(data)
    try:
        for at in range(0, len(data), _DECODED):
            decoder.decode(view[at : at + _DECODED])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _may_have_long_lines(data: bytes, limit: int) -> bool:
    """False if no line is longer than `limit`: then each half of it has a newline somewhere."""
    half = max(limit // 2, 1)
    return len(data) > limit and any(
        data.find(b"\n", at, at + half) < 0 for at in range(0, len(data) - half, half)
    )


def _fault(line: bytes, number: int, max_line_bytes: int) -> Spoiled | None:
    if len(line) > max_line_bytes:
        return _too_long(line, number, max_line_bytes)
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return Spoiled(number, "not-utf8", shown(line.decode(errors="backslashreplace")))
    return Spoiled(number, "not-json", shown(text)) if "\0" in text else None


def _too_long(line: bytes, number: int, max_line_bytes: int) -> Spoiled:
    shown = line[:_SHOWN].decode(errors="backslashreplace")
    return Spoiled(number, "too-long", f"{shown}… [cut: the line is longer than {max_line_bytes} bytes]")
