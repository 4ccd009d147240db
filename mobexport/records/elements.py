"""Read the elements of a top-level JSON array, whatever its formatting, in bounded memory.

Fast path: a block ends where the text says that an element may end, and a strict parser that takes `[…]` up
to there for an array proves it: no place within a string or an element passes. Slow path, for one element
that is broken, or has an unusual layout: a glance at all its brackets, or where that cannot tell, each
bracket and string in turn. An element larger than a block is cut between its records, if its group stands
before them, so that a device with millions of records takes no more memory than another.

What makes the file as a whole unusable raises: an array that does not end (`Truncated`), that is none,
brackets that do not match, or something behind its end. Whether an element can be used is for its reader to
say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, Final, NoReturn

import msgspec

from mobexport.errors import DataError, Truncated
from mobexport.export_types.model import ExportType, Grouped, Latest
from mobexport.records.json_text import (
    BRACKET,
    STRINGS,
    NotJson,
    is_whole,
    loose_items,
    loose_members,
    raw_items,
    raw_members,
    skip,
)
from mobexport.records.lines import MARK

BLOCK_BYTES: Final = 512 * 1024
LARGE_BYTES: Final = 4 * 1024 * 1024
"""A larger element is cut into pieces."""
MAX_ELEMENT_BYTES: Final = 32 * 1024 * 1024
"""The largest element that cannot be cut, and the largest record."""
_WINDOW = 1024
_TRIES = 3
_NEAR = 64

_SCALAR = re.compile(rb'[^ \t\n\r,\[\]{}"]++(?=[ \t\n\r,\[\]{}"])')
_PLACE = re.compile(r"\(byte (\d+)\)")
_CLOSER = {ord("["): ord("]"), ord("{"): ord("}")}
_OF_RECORDS = re.compile(rb"\}[ \t\n\r]*+,")


@dataclass(frozen=True)
class Elements:
    """Consecutive elements of the array, or a part of the records of a large one."""

    number: int
    """Place of the first in the array, from 1."""
    text: bytes
    """As they stand in the file, with the commas between."""
    is_sound: bool
    """Whether `[text]` is JSON, or one element of any depth; if not, it is one that is broken."""
    count: int = 1
    first_record: int = 1
    """Of a part: number of its first record in the element."""
    begin: int | None = None
    """Byte of the file where they begin, if who begins to read there finds the same from there on."""

    @cached_property
    def texts(self) -> list[bytes]:
        """Each element as it stands."""
        if not self.is_sound or self.count == 1:
            # Where a block ends, whitespace may come along that belongs to no element.
            return [self.text.rstrip(b" \t\n\r")]
        try:
            return [bytes(text) for text in raw_items(b"[%b]" % self.text)]
        except RecursionError:
            return loose_items(b"[%b]" % self.text)


@dataclass(frozen=True)
class Layout:
    """The form of the elements of an export type."""

    inner: str
    """Name of the list that a large element can be cut in; empty: of none."""
    group: tuple[str, ...]
    boundary: re.Pattern[bytes]
    """Where one element most likely ends and the next one begins."""

    @classmethod
    def of(cls, export_type: ExportType) -> Layout:
        """The layout of a type's export files."""
        shape = export_type.shape
        names = {column.name.partition(".")[0] for column in export_type.columns}
        if isinstance(shape, Grouped | Latest):
            names = {*export_type.group, export_type.inner}
        following = b"|".join(re.escape(name).encode() for name in sorted(names))
        boundary = rb'\}[ \t\n\r]*+,(?=[ \t\n\r]*+\{[ \t\n\r]*+"(?:' + following + rb')")'
        inner = export_type.inner if isinstance(shape, Grouped) else ""
        return cls(inner, export_type.group, re.compile(boundary))

    @cached_property
    def opening(self) -> re.Pattern[bytes]:
        """Where that list most likely begins, up to and with its bracket."""
        return re.compile(rb'"%b"[ \t\n\r]*+:[ \t\n\r]*+\[' % re.escape(self.inner).encode())


ANY: Final = Layout("", (), _OF_RECORDS)


def elements(chunks: Iterable[bytes], layout: Layout = ANY) -> Iterator[Elements]:
    """The elements of the array that the chunks are, in order.

    Raises Truncated, or DataError with the place of the fault; nothing that was yielded before counts then.
    """
    return _Reader(chunks, layout).run()


class _Reader:
    """A buffer of what is not yet taken."""

    def __init__(self, chunks: Iterable[bytes], layout: Layout) -> None:
        self._chunks = iter(chunks)
        self._layout = layout
        self._buffer = b""
        self._at = 0
        self._dropped = 0
        """Bytes of the file before the buffer."""
        self._is_end = False
        self._size = BLOCK_BYTES
        """Bytes that are looked at at once: less where much is broken."""
        self._is_large = False
        """Whether no element ends within what may be taken whole."""
        self._barren = 0
        """Up to this byte of the file there is no boundary: nobody needs to look again."""
        self._fault = -1
        """Byte of the file where the last look for elements found that one of them is broken."""
        self._fresh: int | None = None
        """Where the last look for elements began, unless what stands before that had a say in it."""

    def run(self) -> Iterator[Elements]:
        self._fill(len(MARK))
        if self._buffer.startswith(MARK):
            self._at = len(MARK)
        if self._next_byte() != ord("["):
            self._fail("the file is no JSON array")
        self._at += 1
        number = 1
        for found in self._values(self._layout.boundary, is_top=True):
            begin = self._fresh
            if found:
                text, count, is_sound = found
                yield Elements(number, text, is_sound, count, begin=begin)
            else:
                for piece in self._large(number):
                    yield replace(piece, begin=begin)
                    begin = None
            number += found[1] if found else 1
        if self._peek() is not None:
            self._fail("something follows the end of the array")

    def _values(
        self, boundary: re.Pattern[bytes], *, is_top: bool
    ) -> Iterator[tuple[bytes, int, bool] | None]:
        """(text, number of values, whether it is sound) up to the end of the array that was begun.

        None: here begins an element that is too large to be taken whole, for the caller to take.
        """
        after_comma = False
        while True:
            byte = self._next_byte()
            if byte == ord("]") and not after_comma:
                self._at += 1
                return
            if byte in b"],}":
                self._fail("an element is missing")
            if run := self._run(boundary, is_top=is_top):
                yield run
                after_comma = self._buffer[self._at] == ord(",")
                self._at += after_comma
                continue
            is_cut = self._is_large and self._layout.inner and byte == ord("{")
            yield None if is_cut else self._one(boundary)
            after_comma = self._next_byte() == ord(",")
            if not after_comma and self._next_byte() != ord("]"):
                self._fail("a comma or the end of the array is missing")
            self._at += after_comma

    # --- fast path ----------------------------------------------------------------------------------------

    def _run(self, boundary: re.Pattern[bytes], *, is_top: bool) -> tuple[bytes, int, bool] | None:
        """Values up to a comma of which a parser says that they are whole."""
        at = self._dropped + self._at
        self._is_large = is_top and at < self._barren
        if is_top:
            # A look that is spared here would be made by who begins to read here.
            self._fresh = None if self._is_large else at
        size = self._size
        while not self._is_large:
            text = self._text(size)
            limit = len(text)
            for _ in range(_TRIES):
                if (cut := _last(boundary, text, limit)) is None:
                    break
                place = None
                try:
                    count = len(raw_items(b"[%b]" % text[:cut]))
                    self._size = min(2 * size, BLOCK_BYTES)
                    return self._take(cut), count, True
                except RecursionError:
                    pass
                except msgspec.DecodeError as error:
                    place = _PLACE.search(str(error))
                    # The parser counts the bracket in front.
                    self._fault = self._dropped + self._at + int(place[1]) - 1 if place else -1
                # Where a parser stopped before the cut, something is broken: take what stands before that.
                limit = min(int(place[1]), cut - 1) if place and int(place[1]) <= cut - _NEAR else cut - 1
            if limit < len(text):
                self._size = max(size // 8, BLOCK_BYTES // 32)
                break
            if len(text) >= LARGE_BYTES and is_top:
                self._is_large = True
                self._barren = self._dropped + self._at + len(text) - BLOCK_BYTES
            if self._is_end or size >= LARGE_BYTES:
                break
            size *= 2
        return None

    # --- slow path ----------------------------------------------------------------------------------------

    def _one(self, boundary: re.Pattern[bytes]) -> tuple[bytes, int, bool]:
        """One value by its brackets and strings, whether it is JSON or not."""
        start = self._next_byte()
        begin = self._dropped + self._at
        if start in _CLOSER:
            text = self._to_boundary(boundary) or self._to_closing(1, bytearray([_CLOSER[start]]))
        else:
            pattern = STRINGS if start == ord('"') else _SCALAR
            while not (found := pattern.match(self._buffer, self._at)):
                self._more()
            text = self._take(found.end() - self._at)
        if begin <= self._fault < begin + len(text):
            return text, 1, False
        try:
            return text, len(raw_items(b"[%b]" % text)), True
        except RecursionError:
            return text, 1, True
        except msgspec.DecodeError:
            return text, 1, False

    def _to_boundary(self, boundary: re.Pattern[bytes]) -> bytes:
        """Takes what a glance says is the value, if it ends at one of the next boundaries."""
        end = self._at + BLOCK_BYTES
        for found in islice(boundary.finditer(self._buffer, self._at, end), _TRIES):
            size = found.start() + 1 - self._at
            if is_whole(self._buffer[self._at : self._at + size]):
                return self._take(size)
        return b""

    def _to_closing(self, size: int, stack: bytearray) -> bytes:
        """Takes so many bytes, and up to where the brackets of `stack` and what opens behind are closed."""
        while stack:
            if not (found := BRACKET.match(self._buffer, self._at + size)):
                self._more()
                continue
            size = found.end() - self._at
            byte = found[1][0]
            if byte in _CLOSER:
                stack.append(_CLOSER[byte])
            elif stack.pop() != byte:
                self._at += size - 1
                self._fail("brackets do not match")
        return self._take(size)

    def _large(self, number: int) -> Iterator[Elements]:
        """The records of a large element, in parts that each have its group."""
        head = self._head()
        if head is None:
            text, _, is_sound = self._one(self._layout.boundary)
            yield Elements(number, text, is_sound)
            return
        first = 1
        for found in self._values(_OF_RECORDS, is_top=False):
            assert found is not None
            text, count, is_sound = found
            yield Elements(number, b"%b%b]}" % (head, text), is_sound, 1, first)
            first += count
        rest = self._to_closing(0, bytearray(b"}"))
        try:
            names = loose_members(b"{" + rest.lstrip(b" \t\n\r,"))
        except NotJson:
            names = {}
        if twice := [name for name in (*self._layout.group, self._layout.inner) if name in names]:
            self._fail(
                f"element {number} is larger than {LARGE_BYTES} bytes and has {twice[0]!r} behind its records"
                " too",
                code="TooLarge",
            )

    def _head(self) -> bytes | None:
        """The beginning of an element up to its first record, if it has the group; it is taken then."""
        text = self._text(BLOCK_BYTES)
        for found in self._layout.opening.finditer(text):
            try:
                there = raw_members(b"%b]}" % text[: found.end()]).keys()
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                continue
            if set(self._layout.group) <= there and self._layout.inner in there:
                return self._take(found.end())
        return None

    # --- the buffer ---------------------------------------------------------------------------------------

    def _text(self, size: int) -> Any:
        """The next `size` bytes, or what there is of them, as a memoryview: they are not copied."""
        self._fill(size)
        return memoryview(self._buffer)[self._at : self._at + size]

    def _fill(self, size: int) -> None:
        """Reads on until there are `size` bytes, or the file ends."""
        missing = size - (len(self._buffer) - self._at)
        if missing <= 0 or self._is_end:
            return
        parts = [self._buffer[self._at :]]
        while missing > 0:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._is_end = True
                break
            parts.append(chunk)
            missing -= len(chunk)
        self._dropped += self._at
        self._buffer, self._at = b"".join(parts), 0

    def _more(self) -> None:
        """Reads on within a value. Raises Truncated at the end of the file."""
        held = len(self._buffer) - self._at
        if held > MAX_ELEMENT_BYTES:
            self._fail(
                f"an element or record is larger than {MAX_ELEMENT_BYTES} bytes, and its group does not stand"
                " before its records",
                code="TooLarge",
            )
        self._fill(2 * held + 1)
        if len(self._buffer) - self._at == held:
            self._truncated()

    def _take(self, size: int) -> bytes:
        taken = self._buffer[self._at : self._at + size]
        self._at += size
        return taken

    def _peek(self) -> int | None:
        """The next byte that is no whitespace, if there is any."""
        while True:
            self._at = skip(self._buffer, self._at)
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if self._is_end:
                return None
            self._fill(1)

    def _next_byte(self) -> int:
        byte = self._peek()
        return self._truncated() if byte is None else byte

    def _truncated(self) -> NoReturn:
        place = self._dropped + len(self._buffer)
        raise Truncated(f"the file ends after {place} bytes, within its JSON array: fetch it again")

    def _fail(self, what: str, *, code: str = "NotAnArray") -> NoReturn:
        raise DataError(f"{what} (byte {self._dropped + self._at + 1} of the file)", code=code)


def _last(boundary: re.Pattern[bytes], text: bytes | memoryview, limit: int) -> int | None:
    """Where the comma of the last boundary before `limit` is."""
    window = _WINDOW
    while True:
        start = max(limit - window, 0)
        last = None
        for found in boundary.finditer(text, start, limit):
            last = found
        if last:
            return last.end() - 1
        if start == 0:
            return None
        window *= 8
