"""Cut the raw files of a large task into slices that are read side by side; no I/O but what is given.

A slice is a few pieces of files: byte ranges of plain lines, row ranges of Parquet, members of gzip files.
All pieces of a task are numbered in the order of the files by name, and within a file by place, so that
(piece, line in the piece) orders records as (file, line) does, wherever the cuts are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mobexport.records.raw_formats import Packing, RawFormat, Stored, stored_as

GZIP_RATIO = 12
"""Bytes of lines in a byte of gzip, zstd or Avro, about, and rather too many."""

PIECES = 100
"""Pieces of a slice at most: many small files are read together."""
_MORE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Piece:
    """A part of one raw file."""

    number: int
    """Its place among all pieces of the task."""
    file: int
    """Index of the file among those of the task, by name."""
    first: int
    end: int
    """Bytes or, of Parquet, rows: from `first` on, up to before `end`."""

    def to_json(self) -> list[int]:
        return [self.number, self.file, self.first, self.end]


@dataclass(frozen=True)
class Slice:
    """What one step reads."""

    number: int
    pieces: tuple[Piece, ...]

    def to_json(self) -> dict[str, Any]:
        return {"number": self.number, "pieces": [piece.to_json() for piece in self.pieces]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Slice:
        return cls(value["number"], tuple(Piece(*piece) for piece in value["pieces"]))


@dataclass(frozen=True)
class RawEntry:
    """One raw file of the plan."""

    name: str
    """Its place, below the app's folder."""
    size: int
    """As it is stored."""
    kind: str = ""
    """Its kind of raw data; empty: the export type's own."""
    encoding: str = ""
    """Its Content-Encoding."""
    format: str = ""
    """Its format; empty: by its name."""
    day: str = ""
    """The day of its folder, where it has one."""

    @property
    def stored(self) -> Stored:
        """What its bytes are; lines, where nothing says more."""
        return stored_as(self.name, self.encoding, self.format) or Stored(RawFormat.NDJSON)

    @property
    def is_gzip(self) -> bool:
        """Whether it is lines in gzip, by its name or by what its uploader said."""
        stored = self.stored
        return stored.packing is Packing.GZIP and stored.format in (RawFormat.NDJSON, RawFormat.TSV)

    @property
    def is_whole(self) -> bool:
        """Whether nothing but the whole file can be read."""
        stored = self.stored
        return stored.format in (RawFormat.JSON, RawFormat.AVRO) or stored.packing is Packing.ZSTD

    @property
    def unpacked(self) -> int:
        """Bytes to read, about."""
        packed = self.stored.packing or self.stored.format is RawFormat.AVRO
        return self.size * GZIP_RATIO if packed else self.size

    def to_json(self) -> list[Any]:
        return [self.name, self.size, self.kind, self.encoding, self.format, self.day]


def plan_slices(
    files: Sequence[RawEntry],
    slice_bytes: int,
    row_groups: Callable[[int], Sequence[tuple[int, int]]],
    members: Callable[[int, int], Sequence[int]] = lambda _index, _every: (),
) -> list[Slice]:
    """The slices of files in the order of their names, of about `slice_bytes` each.

    `row_groups`: of the Parquet file with that index, (rows, bytes) of each row group; `members`: of the gzip
    file with that index, where members begin, at least so many bytes apart. Both are called only for files
    larger than a slice. A member, an array or an Avro file is not cut: its slice is as large as it is.
    """
    pieces: list[tuple[Piece, int]] = []
    for index, file in enumerate(files):
        size, is_parquet = file.size, file.stored.format is RawFormat.PARQUET
        cut: list[tuple[int, int, int]]
        if file.is_whole:
            cut = [(0, size, file.unpacked)]
        elif file.is_gzip and file.unpacked > slice_bytes:
            every = max(slice_bytes // GZIP_RATIO, 1)
            places = [0, *members(index, every), size]
            cut = [(first, end, (end - first) * GZIP_RATIO) for first, end in pairwise(places)]
        elif file.is_gzip or (size <= slice_bytes and not is_parquet):
            cut = [(0, size, file.unpacked)]
        elif is_parquet:
            cut = [(0, -1, size)] if size <= slice_bytes else _row_ranges(row_groups(index), slice_bytes)
        else:
            cut = [(at, min(at + slice_bytes, size), slice_bytes) for at in range(0, size, slice_bytes)]
        pieces += [
            (Piece(len(pieces) + n, index, first, end), held) for n, (first, end, held) in enumerate(cut)
        ]
    slices: list[Slice] = []
    taken: list[Piece] = []
    size = 0
    for piece, held in pieces:
        if taken and (size + held > slice_bytes or len(taken) == PIECES):
            slices.append(Slice(len(slices), tuple(taken)))
            taken, size = [], 0
        taken.append(piece)
        size += held
    if taken:
        slices.append(Slice(len(slices), tuple(taken)))
    return slices


def _row_ranges(groups: Sequence[tuple[int, int]], slice_bytes: int) -> list[tuple[int, int, int]]:
    """(first row, end, bytes) of consecutive row groups, a slice's worth each where that is possible."""
    found: list[tuple[int, int, int]] = []
    row = 0
    for rows, size in groups:
        if found and found[-1][2] + size <= slice_bytes:
            found[-1] = (found[-1][0], row + rows, found[-1][2] + size)
        else:
            found.append((row, row + rows, size))
        row += rows
    return found


def lines_of_range(
    read: Callable[[int, int], Iterator[bytes]], first: int, end: int, size: int
) -> Iterator[bytes]:
    """The bytes of all lines that begin in [first, end) of a file of `size` bytes, each line whole.

    `read(from, to)` gives the file's bytes of a range. A line begins at 0 and behind every newline, so each
    line is in exactly one of the ranges that cover a file, wherever they are cut.
    """
    inside = first == 0
    at = first if inside else first - 1
    last = b"\n"
    for chunk in read(at, end):
        data = chunk
        if not inside:
            # The newline that counts stands before `end - 1`: what follows it begins in this range.
            newline = data.find(b"\n", 0, max(end - 1 - at, 0))
            at += len(data)
            if newline < 0:
                continue
            inside, data = True, data[newline + 1 :]
        if data:
            yield data
            last = data[-1:]
    more = _MORE_BYTES
    at = end
    while inside and last != b"\n" and at < size:
        for chunk in read(at, min(at + more, size)):
            newline = chunk.find(b"\n")
            if newline >= 0:
                yield chunk[: newline + 1]
                return
            yield chunk
            at += len(chunk)
        more = min(more * 4, 4 * 1024 * 1024)
