"""Elements of an array of any formatting; large ones in pieces; files that end too early or are no array."""

import json
import tracemalloc
from collections.abc import Iterator

import pytest

from mobexport.errors import DataError, Truncated
from mobexport.pipeline.elements import Cutting, elements

EVENTS = Cutting("events", ("deviceId",), piece_bytes=200)


def one_by_one(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


@pytest.mark.parametrize(
    ("file", "texts"),
    [
        (b"[]", []),
        (b" \r\n[ \t] \n", []),
        (b"\xef\xbb\xbf[1]", [b"1"]),
        (b'[1,-2.5e3 ,"a,]\\"[{", null,{"a":"}]"},[[],{}]\n]', [
            b"1", b"-2.5e3", b'"a,]\\"[{"', b"null", b'{"a":"}]"}', b"[[],{}]",
        ]),
        (b'[{"a":\n1},\n{"b\\\\":"\\\\"}\n]\n', [b'{"a":\r1}', b'{"b\\\\":"\\\\"}']),
        (b'[{"broken": nul, "b":},"\xff", :]', [b'{"broken": nul, "b":}', b'"\xff"', b":"]),
    ],
)  # fmt: skip
def test_given_an_array_when_taken_apart_then_its_elements_as_they_stand(file, texts) -> None:
    assert [element.text for element in elements([file])] == texts
    assert [element.text for element in elements(one_by_one(file))] == texts


@pytest.mark.parametrize(
    "file", [b"", b" ", b"[", b"[1", b"[1,", b'["a', b'[{"a":[1]', b"[{}", b"[[]", b'["a\\"]']
)
def test_given_an_array_that_does_not_end_when_taken_apart_then_truncated(file) -> None:
    with pytest.raises(Truncated, match="fetch it again"):
        list(elements(one_by_one(file)))


@pytest.mark.parametrize(
    ("file", "what"),
    [
        (b"{}", "no JSON array"), (b"5", "no JSON array"), (b"\xff\xfe[\x00]\x00", "no JSON array"),
        (b"[1,]", "element is missing"), (b"[,1]", "element is missing"),
        (b"[1 2]", "comma"), (b"[{}{}]", "comma"), (b'["a"b]', "comma"), (b"[]]", "follows"),
        (b"[] []", "follows"), (b"[1]x", "follows"), (b"[{]}]", "brackets"), (b"[[}]", "brackets"),
    ],
)  # fmt: skip
def test_given_no_whole_array_when_taken_apart_then_the_fault_and_its_place(file, what) -> None:
    with pytest.raises(DataError, match=what) as caught:
        list(elements([file + b" " * 50]))
    assert not isinstance(caught.value, Truncated)
    assert "byte" in caught.value.message or what == "follows"


def device(count: int, order: str = "key first") -> dict[str, object]:
    records = [{"n": n, "extras": {"l": [1, {}]}} for n in range(1, count + 1)]
    if order == "key first":
        return {"deviceId": "d", "other": [{"x": 1}] * 30, "events": records, "more": {"events": [1]}}
    return {"events": records, "deviceId": "d"}


@pytest.mark.parametrize("indent", [None, 1])
def test_given_a_large_element_when_taken_apart_then_pieces_that_have_each_record_once(indent) -> None:
    file = json.dumps([device(100), device(1), device(0), device(100)], indent=indent).encode()
    found = list(elements(one_by_one(file), cutting=EVENTS))
    assert len(found) > 20
    numbers = [
        (element.number, element.first_record + place, record["n"])
        for element in found
        for place, record in enumerate(json.loads(element.text)["events"])
    ]
    assert numbers == [
        (number, n, n) for number, count in ((1, 100), (2, 1), (4, 100)) for n in range(1, count + 1)
    ]
    assert {json.loads(element.text)["deviceId"] for element in found} == {"d"}
    assert sum("more" in json.loads(element.text) for element in found) == 4


def test_given_a_large_element_whose_group_comes_last_when_taken_apart_then_it_is_whole() -> None:
    file = json.dumps([device(100, "key last")]).encode()
    (element,) = elements([file], cutting=EVENTS)
    assert json.loads(element.text) == device(100, "key last")
    with pytest.raises(DataError, match="larger than 500 bytes"):
        list(elements(one_by_one(b" " * 3_000_000 + file + b" " * 3_000_000), max_element_bytes=500))


def test_given_one_device_with_all_records_when_taken_apart_then_memory_stays_flat() -> None:
    record = json.dumps({"name": "n" * 200}).encode()

    def chunks() -> Iterator[bytes]:
        yield b'[{"deviceId":"0","events":[' + record
        for _ in range(64):
            yield (b"," + record) * 1500  # 64 times 0.3 MB
        yield b"]}]"

    tracemalloc.start()
    pieces = sum(1 for _ in elements(chunks(), cutting=Cutting("events", ("deviceId",))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pieces > 10
    assert peak < 12 * 1024 * 1024


def test_given_texts_of_any_length_when_taken_apart_then_long_ones_are_flagged() -> None:
    long = {"name": "x" * 300_000}
    small = {"name": "x"}
    file = json.dumps(
        [
            {"deviceId": "a", "events": [small] * 50_000},
            {"deviceId": "b", "events": [small, long, small]},
            {"events": [small] * 50_000},
            "y" * 300_000,
        ]
    ).encode()
    found = [(e.number, e.has_long_text) for e in elements([file], cutting=Cutting("events", ("deviceId",)))]
    assert found == [(1, False), (2, True), (3, True), (4, True)]
