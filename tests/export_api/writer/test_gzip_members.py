"""Large gzip files: cut where members begin and nowhere else, each line in exactly one slice."""

import gzip
import io
import random
import zlib
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobexport.errors import DataError, Truncated
from mobexport.export_api.writer import gzip_members
from mobexport.export_api.writer.gzip_members import lines_of_members, member_starts
from mobexport.export_api.writer.slices import RawEntry, plan_slices
from mobexport.records.gunzip import gunzip


class File:
    """A file in memory that is read in chunks, and how much of it was."""

    def __init__(self, data: bytes, chunk: int = 1000) -> None:
        self.data = data
        self.size = len(data)
        self.read_bytes = 0
        self._chunk = chunk

    def read(self, first: int, end: int) -> Iterator[bytes]:
        assert 0 <= first <= end <= self.size
        for at in range(first, end, self._chunk):
            found = self.data[at : min(at + self._chunk, end)]
            self.read_bytes += len(found)
            yield found

    def lines(self, places: list[int]) -> list[bytes]:
        """What the slices with these ends have."""
        return [
            b"".join(lines_of_members(self.read, first, end, self.size, "f.gz"))
            for first, end in pairwise(places)
        ]


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    members=st.lists(st.text("ab\n", max_size=12).map(str.encode), min_size=1, max_size=8),
    zeros=st.lists(st.integers(0, 3), min_size=8, max_size=8),
    chosen=st.sets(st.integers(1, 7)),
    chunk=st.integers(1, 60),
)
def test_given_any_members_and_cuts_then_each_line_once_and_whole(members, zeros, chosen, chunk) -> None:
    packed = [gzip.compress(one) + b"\0" * pad for one, pad in zip(members, zeros, strict=False)]
    starts = list(accumulate(map(len, packed), initial=0))
    file = File(b"".join(packed), chunk)
    cuts = [starts[n] for n in sorted(chosen) if n < len(members)]
    found = file.lines([0, *cuts, file.size])
    text = b"".join(members)
    assert b"".join(found) == text
    at = 0
    for part in found:
        assert not part or at == 0 or text[at - 1 : at] == b"\n"
        at += len(part)


def packed_lines(count: int, size: int, level: int = 6) -> tuple[list[bytes], bytes]:
    """Lines that do not pack well, and members of `size` bytes of them."""
    chance = random.Random(count)
    text = b"".join(b"%x\n" % chance.getrandbits(200) for _ in range(count))
    return [gzip.compress(text[at : at + size], level) for at in range(0, len(text), size)], text


@pytest.mark.parametrize("size", [700, 5000, 40_000])
@pytest.mark.parametrize("every", [1, 900, 30_000])
def test_given_many_members_then_only_true_beginnings_far_enough_apart(size, every) -> None:
    members, text = packed_lines(6000, size)
    file = File(b"".join(members))
    found = member_starts(file.read, file.size, every)
    assert len(found) >= min(file.size // every // 3, len(members) // 2, 3)
    assert set(found) < set(accumulate(map(len, members)))
    assert all(one - before >= every for before, one in pairwise([0, *found]))
    assert b"".join(file.lines([0, *found, file.size])) == text


def test_given_one_member_when_looked_for_then_none_and_little_is_read() -> None:
    file = File(gzip.compress(random.Random(1).randbytes(1_000_000)))
    assert member_starts(file.read, file.size, 50_000) == []
    assert file.read_bytes < 500_000
    entry = RawEntry("a.ndjson.gz", file.size)
    (only,) = plan_slices(
        [entry], 600_000, lambda _: (), lambda _, every: member_starts(file.read, file.size, every)
    )
    assert [(piece.first, piece.end) for piece in only.pieces] == [(0, file.size)]


HEADER = gzip.compress(b"")[:10]
NOT_MEMBERS = {
    "the beginning alone": HEADER,
    "and what does not unpack": HEADER + b"\xff" * 50,
    "and a wrong checksum": gzip.compress(b"x")[:-8] + b"12345678",
    "flags of the future": b"\x1f\x8b\x08\xff" + gzip.compress(b"x")[4:],
}


@pytest.mark.parametrize("what", NOT_MEMBERS)
def test_given_what_only_begins_like_a_member_then_passed_over(what) -> None:
    # Level 0 keeps the bytes as they are.
    first = gzip.compress(b"line\n" * 200 + NOT_MEMBERS[what] + b"\nline" * 50 + b"\n", 0)
    file = File(first + gzip.compress(b"last\n"))
    assert gzip_members._START in file.data[500 : len(first)]
    assert member_starts(file.read, file.size, 500) == [len(first)]


@pytest.mark.parametrize("more", [b"", gzip.compress(b"last\n")], ids=["at the end", "in the middle"])
def test_given_a_cut_at_a_member_in_a_member_then_the_slice_before_refuses(more) -> None:
    inner = gzip.compress(b"inner\n" * 9)
    outer = gzip.compress(b"line\n" * 200 + inner + b"line\n" * 200, 0)
    file = File(outer + more)
    (place, *_) = member_starts(file.read, file.size, 500)
    assert file.data[place:].startswith(inner)
    with pytest.raises(
        DataError, match=rf"f\.gz has at byte {place} what looks like a gzip member"
    ) as caught:
        list(lines_of_members(file.read, 0, place, file.size, "f.gz"))
    assert caught.value.own_code == "BadGzip"


def test_given_damage_anywhere_when_read_in_slices_then_some_slice_says_so() -> None:
    members, _ = packed_lines(200, 1500)
    whole = b"".join(members)
    chance = random.Random(3)
    for _ in range(300):
        at = chance.randrange(len(whole))
        data = bytearray(whole)
        data[at] ^= 1 << chance.randrange(8)
        file = File(bytes(data))
        try:
            expected = b"".join(gunzip([file.data], "f.gz"))
        except (DataError, Truncated):
            expected = None
        places = [0, *member_starts(file.read, file.size, 800), file.size]
        if expected is None:
            with pytest.raises(DataError):
                file.lines(places)
        else:
            # Of a header most bits mean nothing.
            assert b"".join(file.lines(places)) == expected


def test_given_gzip_as_other_programs_write_it_when_cut_then_the_same(tmp_path: Path) -> None:
    text = b"".join(b"%d\n" % n for n in range(3000))
    parts = [text[at : at + 4000] for at in range(0, len(text), 4000)]
    packed = []
    for n, part in enumerate(parts):
        out = io.BytesIO()
        with gzip.GzipFile(f"{'n' * 40}-{n}.ndjson", "wb", fileobj=out, mtime=n) as file:
            file.write(part)
        packed.append(out.getvalue())
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    extra = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0\0\0" + raw.compress(b"end") + raw.flush()
    packed.append(extra + zlib.crc32(b"end").to_bytes(4, "little") + (3).to_bytes(4, "little"))
    file = File(b"".join(packed))
    found = member_starts(file.read, file.size, 500)
    assert found == list(accumulate(map(len, packed)))[: len(found)]
    assert len(found) == len(parts)
    assert b"".join(file.lines([0, *found, file.size])) == text + b"end"
