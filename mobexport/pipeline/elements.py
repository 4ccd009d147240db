"""Streams the elements of a top-level JSON array, whatever its formatting, in bounded memory.

Only brackets, strings and commas are looked at: whether an element is JSON in itself is for its reader to
say, as one bad element must not cost the others. What makes the file as a whole unusable raises: an array
that does not end (`Truncated`), that is none, brackets that do not match, or something behind its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from mobexport.errors import DataError, Truncated
from mobexport.json_text import LONG_TEXT

MAX_ELEMENT_BYTES = 32 * 1024 * 1024
PIECE_BYTES = 1024 * 1024
_READ_BYTES = 1024 * 1024
_HEAD_BYTES = 200

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TO_BRACKET = re.compile(rb'[^"\[\]{}]*+(?:' + _STRING + rb'[^"\[\]{}]*+)*+([\[\]{}])', re.DOTALL)
_WHOLE_STRING = re.compile(_STRING, re.DOTALL)
_SCALAR = re.compile(rb'[^ \t\n\r,\[\]{}"]++(?=[ \t\n\r,\[\]{}"])')
_SPACE = re.compile(rb"[ \t\n\r]*+")
_CLOSER = {ord("["): ord("]"), ord("{"): ord("}")}


@dataclass(frozen=True)
class Element:
    """One element, or a piece of a large one."""

    number: int
    """Place in the array, from 1."""
    text: bytes
    """As it stands in the file, newlines replaced by carriage returns: one line, valid where it was."""
    first_record: int = 1
    """Of a piece: number of its first record in the element."""
    has_long_text: bool = False
    """Whether it has, or may have, a text longer than `json_text.LONG_TEXT`."""


@dataclass(frozen=True)
class Cutting:
    """How a large element is cut into smaller ones: each with the group's fields and some of the records."""

    inner: str
    group: tuple[str, ...]
    piece_bytes: int = PIECE_BYTES


def elements(
    chunks: Iterable[bytes], *, cutting: Cutting | None = None, max_element_bytes: int = MAX_ELEMENT_BYTES
) -> Iterator[Element]:
    """The elements of the array that the chunks are, in order.

    An element larger than a piece is cut between its records, if its group stands before them. So a device
    with millions of records (an all-zero id, say) takes no more memory than another. Raises Truncated, or
    DataError with the place of the fault; nothing that was yielded before counts then.
    """
    return _Scanner(chunks, cutting, max_element_bytes).run()


class _Scanner:
    """A buffer from the start of the current element on, and how far it was looked at."""

    def __init__(self, chunks: Iterable[bytes], cutting: Cutting | None, max_element_bytes: int) -> None:
        self._chunks = _at_least(chunks, _READ_BYTES)
        self._cutting = cutting
        self._max = max_element_bytes
        self._buffer = bytearray()
        self._at = 0
        self._dropped = 0
        """Bytes of the file before the buffer."""

    def run(self) -> Iterator[Element]:
        if self._next_byte() == 0xEF and self._starts_with_mark():
            self._at += 3
        if self._next_byte() != ord("["):
            self._fail("the file is no JSON array")
        self._at += 1
        number = 0
        while True:
            byte = self._next_byte()
            if byte == ord("]") and number == 0:
                break
            number += 1
            yield from self._element(number, byte)
            byte = self._next_byte()
            if byte == ord("]"):
                break
            if byte != ord(","):
                self._fail("a comma or the end of the array is missing")
            self._at += 1
        self._at += 1
        self._expect_end()

    def _element(self, number: int, first: int) -> Iterator[Element]:
        self._drop()
        if first in _CLOSER:
            yield from self._container(number)
            return
        pattern = _WHOLE_STRING if first == ord('"') else _SCALAR
        while not (found := pattern.match(self._buffer)):
            if first in b"]},":
                self._fail("an element is missing")
            self._read()
        self._at = found.end()
        yield self._taken(number, 1, self._at)

    def _container(self, number: int) -> Iterator[Element]:
        stack = bytearray()
        head = b""
        records, first_record, last_end, longest = 0, 1, 0, 0
        while True:
            found = _TO_BRACKET.match(self._buffer, self._at)
            if not found:
                self._read()
                continue
            self._at = found.end()
            byte = found[1][0]
            if byte in _CLOSER:
                stack.append(_CLOSER[byte])
                if stack == b"}]" and self._cutting and not head:
                    head = _head(self._buffer[: self._at], self._cutting)
                    last_end = self._at if head else 0
                continue
            if stack.pop() != byte:
                self._fail("brackets do not match")
            if not stack:
                yield self._taken(number, first_record, max(longest, self._at - last_end))
                return
            if stack == b"}]" and head and self._cutting:
                records += 1
                longest, last_end = max(longest, self._at - last_end), self._at
                # Cut only where another record follows: the last piece takes what is behind the list.
                if self._at >= self._cutting.piece_bytes and self._next_byte() == ord(","):
                    text = _line(bytes(self._buffer[: self._at]) + b"]}")
                    yield Element(number, text, first_record, longest > LONG_TEXT)
                    self._replace(head)
                    first_record, last_end, longest = records + 1, self._at, 0

    def _taken(self, number: int, first_record: int, longest: int) -> Element:
        text = _line(bytes(self._buffer[: self._at]))
        element = Element(number, text, first_record, longest > LONG_TEXT)
        self._drop()
        return element

    def _replace(self, head: bytes) -> None:
        """Puts a piece's head where the records (and the comma) stood that were taken."""
        self._at += 1
        self._dropped += self._at - len(head)
        self._buffer[: self._at] = head
        self._at = len(head)

    def _drop(self) -> None:
        self._dropped += self._at
        del self._buffer[: self._at]
        self._at = 0

    def _next_byte(self) -> int:
        """The next byte that is no whitespace."""
        while True:
            space = _SPACE.match(self._buffer, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            self._read()

    def _starts_with_mark(self) -> bool:
        return self._buffer.startswith(b"\xef\xbb\xbf")

    def _read(self) -> None:
        if len(self._buffer) > self._max:
            self._fail(f"an element is larger than {self._max} bytes", code="TooLarge")
        chunk = next(self._chunks, None)
        if chunk is None:
            place = self._dropped + len(self._buffer)
            raise Truncated(f"the file ends after {place} bytes, within its JSON array: fetch it again")
        self._buffer += chunk

    def _expect_end(self) -> None:
        rest = bytes(self._buffer[self._at :])
        while not rest.strip(b" \t\n\r"):
            following = next(self._chunks, None)
            if following is None:
                return
            rest = following
        self._fail("something follows the end of the array")

    def _fail(self, what: str, *, code: str = "NotAnArray") -> NoReturn:
        raise DataError(f"{what} (byte {self._dropped + self._at + 1} of the file)", code=code)


def _head(text: bytearray, cutting: Cutting) -> bytes:
    """The beginning of an element up to its first record, if that is what `text` is and has the group."""
    if not re.search(rb'"' + cutting.inner.encode() + rb'"[ \t\n\r]*+:[ \t\n\r]*+\[$', text[-_HEAD_BYTES:]):
        return b""
    try:
        parsed = json.loads(text + b"]}")
    except ValueError:
        return b""
    return bytes(text) if set(cutting.group) <= parsed.keys() else b""


def _line(text: bytes) -> bytes:
    return text.replace(b"\n", b"\r")


def _at_least(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in chunks that are worth a look each."""
    pending = bytearray()
    for chunk in chunks:
        if not pending and len(chunk) >= size:
            yield chunk
            continue
        pending += chunk
        if len(pending) >= size:
            yield bytes(pending)
            pending.clear()
    if pending:
        yield bytes(pending)
