"""Blocks of lines: exact numbers and texts, whatever the sizes of chunks, blocks and lines."""

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from mobexport.records.lines import MARK, line_blocks

LINES = st.lists(
    st.sampled_from([b"", b"a", b"\r", b"bb\r", b"ccc", b"x" * 9, b"x" * 11, b"x" * 12 + b"\r", b"y" * 60]),
    max_size=12,
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    lines=LINES,
    mark=st.booleans(),
    open_end=st.booleans(),
    chunk=st.integers(1, 40),
    block=st.integers(1, 80),
)
def test_given_any_sizes_when_read_then_each_line_once_at_its_place(
    lines, mark, open_end, chunk, block
) -> None:
    data = (MARK if mark else b"") + b"\n".join(lines) + (b"" if open_end else b"\n")
    found = {}
    for one in line_blocks(_chunks(data, chunk), block_bytes=block, max_line_bytes=11):
        for place, line in enumerate(one.lines):
            assert one.first_line + place not in found
            found[one.first_line + place] = "too-long" if place in one.too_long else line
    expected = {}
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), start=1):
        length = len(line.removeprefix(MARK).removesuffix(b"\r"))
        expected[number] = "too-long" if length > 11 else line
    blank = (b"", MARK, "")
    assert {n: line for n, line in found.items() if line not in blank} == {
        n: line for n, line in expected.items() if line not in blank
    }


def test_given_a_line_of_many_chunks_when_read_then_little_of_it_is_kept() -> None:
    line = b"z" * 5000 + b"\n"
    (block,) = line_blocks(_chunks(line, 10), max_line_bytes=100)
    assert len(block.lines[0]) < 1100
    assert block.too_long[0].endswith("… [cut: the line is longer than 100 bytes]")


def _chunks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))
