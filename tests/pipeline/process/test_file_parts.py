"""One export file in parts: the rows, rejects and counts of the whole file, however it is cut and written."""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobexport import export_types
from mobexport.errors import DataError, Truncated
from mobexport.pipeline.process.conversion import Conversion, FileParts, convert_file, cut_file
from mobexport.records import element_ranges, elements
from mobexport.records.element_ranges import Part
from mobexport.records.limits import Limits

DAYS = (date(2025, 3, 23), date(2025, 3, 24))
PARTS = (1, 2, 3, 7, 1000)


@dataclass
class Account:
    """What became of a file."""

    rows: dict[str, list[dict[str, Any]]]
    """By day, in order."""
    rejects: list[dict[str, Any]]
    records: int
    rejected: int
    rules: Counter[str]
    lenient: Counter[str]


def chunked(raw: bytes, size: int) -> Iterator[bytes]:
    return (raw[at : at + size] for at in range(0, len(raw), size))


def convert(raw: bytes, type_: str, folder: Path, chunk: int, part: Part | None = None) -> Conversion:
    declared = export_types.get(type_)
    return convert_file(
        declared,
        chunked(raw[part.begin :] if part else raw, chunk),
        app="shop",
        window=DAYS if declared.historical else None,
        snapshot_day=None if declared.historical else DAYS[0],
        strict=False,
        stem=f"s-{part.first if part else 0}",
        out_dir=folder / "out",
        workdir=folder / "work",
        limits=Limits(),
        part=part,
    )


def account(conversions: list[Conversion]) -> Account:
    found = Account({}, [], 0, 0, Counter(), Counter())
    for done in conversions:
        assert done.records == done.rows + done.rejected
        for output in done.outputs:
            found.rows.setdefault(str(output.date), []).extend(pq.ParquetFile(output.path).read().to_pylist())
        if done.rejects:
            found.rejects += [json.loads(line) for line in done.rejects.read_text("utf-8").splitlines()]
        found.records += done.records
        found.rejected += done.rejected
        found.rules.update(done.rules)
        found.lenient.update(done.lenient)
    assert len(found.rejects) == found.rejected
    return found


def cut(raw: bytes, type_: str, parts: int, chunk: int = 1 << 20) -> FileParts:
    return cut_file(export_types.get(type_), chunked(raw, chunk), max(-(-len(raw) // parts), 1))


def outcome(run: Callable[[], Any]) -> Any:
    """What it gives, or how it fails."""
    try:
        return run()
    except DataError as error:
        return type(error).__name__, error.own_code, error.message


def compare(
    raw: bytes,
    type_: str = "Event",
    chunks: tuple[int, int] = (1 << 20, 1 << 20),
    numbers: tuple[int, ...] = PARTS,
) -> list[int]:
    """Compares the parts of a file with the whole; how many parts there were."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        whole = outcome(lambda: account([convert(raw, type_, Path(name) / "whole", chunks[0])]))
        for number in numbers:
            cuts = outcome(lambda number=number: cut(raw, type_, number, chunks[0]))
            if not isinstance(cuts, FileParts):
                assert cuts == whole
                return []
            if not cuts.parts:  # It begins as gzip does.
                return []
            assert cuts.parts[-1].end is None
            assert (cuts.input_bytes, len(cuts.parts) <= number) == (len(raw), True)
            folder = Path(name) / f"{number}"
            parts = account([convert(raw, type_, folder, chunks[1], part) for part in cuts.parts])
            assert parts == whole
            found.append(len(cuts.parts))
    return found


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(elements, "BLOCK_BYTES", 64)


# --- a table of files ---------------------------------------------------------------------------------------

AT = "2025-03-23T10:00:00.123Z"
UGLY = 'é😀 "}],[{\\"deviceId\\": \\\\" },{ [[{{ \\u007d\\ud83d\\ude00'


def event(number: int, **more: Any) -> dict[str, Any]:
    at = AT.replace("23T", f"{23 + number % 2}T")
    return {"name": f"n{number} {UGLY}", "timestamp": at, "extras": {"t": UGLY, "n": [number]}, **more}


VALUE = [
    {"deviceId": f"d{n}", "events": [event(10 * n + k) for k in range(n % 4)]}
    if n % 5
    else {"deviceId": f"d{n}", "events": [event(n, timestamp="soon"), event(n), 7, event(n, name=None)]}
    for n in range(23)
]
TEXTS = [json.dumps(one, ensure_ascii=False).encode() for one in VALUE]
SMALL = b'{"deviceId":"d","events":[{"name":"n","timestamp":"%b"}]}' % AT.encode()
LARGE = json.dumps({"deviceId": "d", "events": [event(n) for n in range(60)]}).encode()
BROKEN = [
    b'{"deviceId":"d","events":[NaN,' + SMALL + b"]}",
    b'{"deviceId":"\xff","events":[]}',
    b'{"deviceId":"d","events":[{"name":"a\nb"}],}',
    b'{"deviceId":"d" "events":[{}]}',
    b'{"deviceId":"d},{","deviceId"x},{"deviceId":1}',
    b'"},{\\"deviceId\\":"',
    b"\x1f\x8b",
    b"tru",
    b"null",
    b"[[[{}]]]",
]
FILES = {
    "one a line": b"[\n" + b",\n".join(TEXTS) + b"\n]\n",
    "one line": b"[" + b",".join(TEXTS) + b"]",
    "pretty": json.dumps(VALUE, indent=2).encode(),
    "CRLF": json.dumps(VALUE, indent=1, ensure_ascii=False).replace("\n", "\r\n").encode(),
    "mark": b"\xef\xbb\xbf" + b"[" + b",".join(TEXTS) + b"]",
    "whitespace": b" \n[ \t" + b"\r\n , \t\n".join(TEXTS) + b" \n\n ] \n ",
    "much whitespace": b"[" + b" " * 5000 + b",".join(TEXTS) + b"\n" * 5000 + b"]" + b" " * 5000,
    "a large element": b"[" + b",".join([*TEXTS[:5], LARGE, *TEXTS[5:9], LARGE, LARGE]) + b"]",
    "a large element alone": b"[" + LARGE + b"]",
    "broken elements": b"[" + b",".join([b", ".join([SMALL, one]) for one in BROKEN]) + b"]",
    "nothing but broken elements": b"[" + b",\n".join(BROKEN) + b"]",
    "empty": b"[]",
    "nothing but space": b"\n[ \n ]\n",
}

EXPECTED = {
    "much whitespace": [2, 2, 5],
    "a large element": [2, 3, 3],
    "a large element alone": [1, 1, 1],
    "nothing but broken elements": [2, 3, 6],
    "empty": [1, 1, 1],
    "nothing but space": [1, 1, 1],
}
"""How many parts there are where they are fewer than the 2, 3 and 7 that were asked for."""


@pytest.mark.parametrize("layout", FILES)
@pytest.mark.parametrize("large", [200, 4 << 20])
def test_given_a_legal_file_then_its_parts_give_what_the_whole_gives(layout, large, monkeypatch) -> None:
    monkeypatch.setattr(elements, "LARGE_BYTES", large)
    raw = FILES[layout]
    for chunks in ((1 << 20, 1 << 20), (100, 333), (31, 7)):
        found = compare(raw, chunks=chunks)
        assert found
        assert found == sorted(found)
    assert found[1:4] == EXPECTED.get(layout, [2, 3, 7])


def test_given_a_packed_file_when_cut_then_in_no_parts() -> None:
    assert cut(b"\x1f\x8b\x08 and so on", "Event", 3).parts == ()


UNUSABLE = {
    "truncated": FILES["one a line"][:-3],
    "truncated early": FILES["one a line"][:900],
    "garbage behind": FILES["one a line"] + b"[]",
    "a second array": b"[%b][%b]" % (SMALL, SMALL),
    "no comma": FILES["one a line"].replace(b'},\n{"deviceId": "d17"', b'}\n{"deviceId": "d17"'),
    "two commas": FILES["one a line"].replace(b'},\n{"deviceId": "d17"', b'},\n,{"deviceId": "d17"'),
    "brackets that do not match": FILES["one line"].replace(b'{"deviceId": "d17"', b'{]"deviceId": "d17"'),
    "a quote that is open": FILES["one line"].replace(b'{"deviceId": "d17"', b'{"deviceId": "d17'),
    "no array": b"{}",
    "nothing": b"",
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_given_a_file_that_is_no_whole_array_when_cut_then_fails_as_whole(
    what,
) -> None:
    raw = UNUSABLE[what]
    for chunk in (1 << 20, 100, 7):
        with pytest.raises(DataError) as caught:
            cut(raw, "Event", 3, chunk)
        assert isinstance(caught.value, Truncated) == ("truncated" in what or what == "nothing")
        assert compare(raw, chunks=(chunk, chunk)) == []


def test_given_other_shapes_then_their_parts_give_what_the_whole_gives() -> None:
    session = {"deviceId": "d", "start": AT, "end": "soon"}
    flat = [{"sessionId": f"s{n}", **session, **({"end": AT} if n % 3 else {})} for n in range(40)]
    assert compare(json.dumps(flat).encode(), "Session")[1:4] == [2, 3, 7]
    tags = [{"deviceId": f"d{n}", "appInfo": {f"k{k}": k for k in range(n % 6)}} for n in range(40)]
    assert compare(json.dumps(tags).encode(), "Tag")[1:4] == [2, 3, 7]


def test_given_cuts_near_the_end_then_broken_elements_are_not_large_ones() -> None:
    # What is left of the file has no place where an element surely ends, as large ones have.
    broken = b'{"deviceId":"d","events":[,%b]}' % SMALL
    raw = b"[" + b",".join([BROKEN[2], BROKEN[5], b"tru", TEXTS[1], broken]) + b"]"
    for chunk in range(150, 250, 7):
        assert compare(raw, chunks=(73, chunk), numbers=(1000,))


def test_given_a_stretch_without_sure_ends_then_cut_where_looked_at_anew(
    monkeypatch,
) -> None:
    monkeypatch.setattr(elements, "LARGE_BYTES", 1000)
    odd = SMALL.replace(b'{"deviceId"', b'{"x":0,"deviceId"')
    # Of an element that is taken for a large one, a group behind the records would be a fault.
    twice = odd[:-1] + b',"deviceId":"e"}'
    raw = b"[" + b",".join([*[odd] * 13, twice, *[odd] * 8, *[SMALL] * 40]) + b"]"
    assert min(compare(raw, chunks=(100, 100), numbers=tuple(range(5, 12)))) > 3


# --- any file -----------------------------------------------------------------------------------------------

element = st.sampled_from([*TEXTS[:6], SMALL, SMALL, *BROKEN, LARGE[:700] + b'"}]}'])
space = st.sampled_from([b"", b"", b"\n", b" ", b"\r\n\t"])


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    values=st.lists(st.tuples(space, element, space), max_size=12),
    damage=st.none() | st.tuples(st.integers(0, 5000), st.integers(0, 3), st.binary(max_size=2)),
    block=st.sampled_from([1, 64, 300]),
    large=st.sampled_from([100, 1000, 4 << 20]),
    chunks=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    parts=st.sampled_from(PARTS[1:]),
)
def test_given_any_file_when_cut_then_its_parts_give_what_the_whole_gives(
    values, damage, block, large, chunks, parts
) -> None:
    raw = b"[" + b",".join(b"".join(one) for one in values) + b"]"
    if damage:
        at, gone, new = damage
        at %= len(raw)
        raw = raw[:at] + new + raw[at + gone :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elements, "BLOCK_BYTES", block)
        patch.setattr(elements, "LARGE_BYTES", large)
        compare(raw, chunks=chunks, numbers=(parts,))


# --- parts that do not fit ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda part: Part(part.begin, part.end + 1, part.first, part.count),
        lambda part: Part(part.begin, part.end, part.first, part.count + 1),
        lambda part: Part(part.begin, part.end, part.first, part.count - 1),
        lambda part: Part(part.begin, None, part.first, part.count),
    ],
)
def test_given_a_part_that_does_not_end_where_the_next_begins_then_refused(change) -> None:
    raw = FILES["one a line"]
    _, part, _ = cut(raw, "Event", 3).parts
    assert list(element_ranges.elements_of(chunked(raw[part.begin :], 100), part))
    with pytest.raises(RuntimeError, match="does not end where the next one begins"):
        list(element_ranges.elements_of(chunked(raw[part.begin :], 100), change(part)))
