"""Ranges of an export file's elements that are read side by side, as if the file were read from its start.

Whether a byte stands within a string can be told from the file's start only, so one look over the whole file
finds the ranges, by the reader that the conversion has: ten times faster than to convert it, and what makes
the file as a whole unusable is found before anything is converted. A range begins where that reader began to
look, whatever stood before; its reader begins there, sees the same bytes, and takes the same decisions. It
reads on beyond the range's end where it has to, and proves that it came by exactly there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import msgspec

from mobexport.records.elements import ANY, Elements, Layout, elements
from mobexport.records.json_text import raw_items


@dataclass(frozen=True)
class Part:
    """Consecutive elements of one export file."""

    begin: int
    """Byte of the file where the first one begins; 0: the file's start, whatever stands there."""
    end: int | None
    """Byte where the first element behind them begins; None: there is none, they go up to the file's end."""
    first: int
    """Number of the first element, from 1."""
    count: int
    """How many they are."""

    def to_json(self) -> list[Any]:
        return [self.begin, self.end, self.first, self.count]


def find_parts(chunks: Iterable[bytes], layout: Layout, part_bytes: int) -> list[Part]:
    """The parts of a file of about `part_bytes` each, at least one; together they are all its elements.

    A part is larger where an element is: none is cut. Reads the file to its end. Raises Truncated, or
    DataError with the place of the fault, as `elements` does.
    """
    cuts = [(0, 1)]
    following = part_bytes
    total = 0
    for found in elements(chunks, layout):
        if found.begin is not None and found.begin >= following and found.number > 1:
            cuts.append((found.begin, found.number))
            # From the file's start on, so that parts that are too large do not add up.
            following = (found.begin // part_bytes + 1) * part_bytes
        total = found.number + found.count - 1
    ends = [*cuts[1:], (None, total + 1)]
    return [
        Part(begin, end, first, behind - first)
        for (begin, first), (end, behind) in zip(cuts, ends, strict=True)
    ]


def elements_of(chunks: Iterable[bytes], part: Part, layout: Layout = ANY) -> Iterator[Elements]:
    """The elements of a part, numbered as in the whole file.

    `chunks`: the file's bytes from `part.begin` on, up to its end; little more than the part is taken.
    Raises RuntimeError if they are not the elements that `find_parts` saw; what reading raises.
    """
    text = chain((b"[",), chunks) if part.begin else chunks
    before = part.begin - 1 if part.begin else 0
    behind = part.first + part.count
    number = part.first
    for found in elements(text, layout):
        number = found.number + part.first - 1
        begin = None if found.begin is None else found.begin + before
        if number == behind:
            if part.end is None or begin not in (None, part.end):
                raise _disagreement(part)
            return
        if number + found.count > behind:
            # Near the file's end a block depends on the chunks too: this one goes on into the next part.
            yield _beginning(replace(found, number=number, begin=begin), part)
            return
        yield replace(found, number=number, begin=begin)
        number += found.count
    if number != behind or part.end is not None:
        raise _disagreement(part)


def _beginning(found: Elements, part: Part) -> Elements:
    """What of a block belongs to a part."""
    count = part.first + part.count - found.number
    if found.begin is not None and part.end is not None and found.begin < part.end:
        text = found.text[: part.end - found.begin].rstrip(b" \t\n\r,")
        with suppress(msgspec.DecodeError, RecursionError):
            if len(raw_items(b"[%b]" % text)) == count:
                return replace(found, text=text, count=count)
    raise _disagreement(part)


def _disagreement(part: Part) -> RuntimeError:
    return RuntimeError(f"the part that begins at byte {part.begin} does not end where the next one begins")
