"""Blocks of raw lines: exact numbers and texts, whatever the sizes of chunks, blocks and lines."""

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from mobexport import text_blocks
from mobexport.export_api.raw_lines import Lines, raw_blocks

LINES = st.lists(
    st.sampled_from([b"", b"a", b"\r", b"bb\r", b"ccc", b"x" * 9, b"x" * 11, b"x" * 12 + b"\r", b"y" * 60]),
    max_size=12,
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    files=st.lists(st.tuples(LINES, st.booleans(), st.booleans()), max_size=4),
    chunk=st.integers(1, 40),
    block=st.integers(1, 80),
)
def test_given_any_files_and_sizes_when_read_then_each_line_once_at_its_place(files, chunk, block) -> None:
    contents, expected = [], {}
    for index, (lines, mark, open_end) in enumerate(files):
        data = (b"\xef\xbb\xbf" if mark else b"") + b"\n".join(lines) + (b"" if open_end else b"\n")
        contents.append(data)
        for number, line in enumerate(lines, start=1):
            if len(line.removesuffix(b"\r")) > 11:
                expected[index, number] = "too-long"
            elif line.strip():
                expected[index, number] = line.decode()
    found = {}
    reader = [Lines(number, _chunks(data, chunk)) for number, data in enumerate(contents)]
    for parts in raw_blocks(reader, block_bytes=block, max_line_bytes=11):
        for part in parts:
            for number, line in enumerate(part.block.data.split(b"\n"), start=part.block.first_line):
                if line.strip():
                    assert (part.part, number) not in found
                    found[part.part, number] = line.decode()
            for bad in part.block.spoiled:
                assert (part.part, bad.line) not in found
                found[part.part, bad.line] = bad.rule
    assert found == expected
    assert [lines.count for lines in reader] == [
        data.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").count(b"\n") + 1
        if data.removeprefix(b"\xef\xbb\xbf")
        else 0
        for data in contents
    ]


def _chunks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(sizes=st.lists(st.sampled_from([1, 49, 50, 51, 52, 99, 100, 101, 300]), max_size=8))
def test_given_long_lines_when_read_then_they_are_set_aside(sizes) -> None:
    limit, text_blocks.LONG_TEXT = text_blocks.LONG_TEXT, 50
    try:
        (block,) = text_blocks.text_blocks([b"\n".join(b"z" * size for size in sizes) + b"\n"])
    finally:
        text_blocks.LONG_TEXT = limit
    assert [(number, len(text)) for number, text in block.long] == [
        (number, size) for number, size in enumerate(sizes, start=1) if size > 50
    ]
    assert [len(line) for line in block.data.split(b"\n")][: len(sizes)] == [
        size if size <= 50 else 0 for size in sizes
    ]


def test_given_many_long_lines_when_read_then_a_block_holds_few_of_them() -> None:
    line = b"z" * 300_000 + b"\n"
    blocks = list(raw_blocks([Lines(0, iter([line] * 100))], block_bytes=1_000_000))
    assert sum(len(part.block.long) for block in blocks for part in block) == 100
    assert max(sum(part.block.size for part in block) for block in blocks) < 3_000_000
