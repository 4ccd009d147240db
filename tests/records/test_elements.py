"""Elements of an array of any formatting; large ones in parts; files that end too early or are no array."""

import json
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobexport import export_types
from mobexport.errors import DataError, Truncated
from mobexport.records import elements as module
from mobexport.records.elements import ANY, Elements, Layout, elements
from mobexport.records.json_text import is_whole

EVENTS = Layout.of(export_types.get("Event"))


def one_by_one(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


def values(found: list[Elements]) -> list[object]:
    return [value for one in found for value in json.loads(b"[%b]" % one.text)]


@pytest.mark.parametrize(
    "file",
    [
        b"[]",
        b" \r\n[ \t] \n",
        b"\xef\xbb\xbf[1]",
        b'[1,-2.5e3 ,"a,]\\"[{", null,{"a":"}]"},[[],{}]\n]',
        b'[{"a":\n1},\n{"b\\\\":"\\\\"}\n]\n',
        b'[{"deviceId":"a","events":[]}\n,{"deviceId":"b","events":[{"x":[{}]},{"events":[]}]},{}]',
    ],
)
def test_given_an_array_when_taken_apart_then_its_elements(file) -> None:
    wanted = json.loads(file.decode("utf-8-sig"))
    for layout in (ANY, EVENTS):
        for chunks in ([file], one_by_one(file)):
            found = list(elements(chunks, layout))
            assert values(found) == wanted
            assert all(one.is_sound for one in found)
            assert sum(one.count for one in found) == len(wanted)


def test_given_broken_elements_when_taken_apart_then_each_as_it_stands() -> None:
    file = b'[{"broken": nul, "b":},"\xff", :, {"a":1},{"b":tru}]'
    found = list(elements([file]))
    assert [(one.number, one.text.strip(), one.is_sound) for one in found] == [
        (1, b'{"broken": nul, "b":}', False),
        (2, b'"\xff"', True),
        (3, b":", False),
        (4, b'{"a":1}', True),
        (5, b'{"b":tru}', False),
    ]


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
def test_given_no_whole_array_then_the_fault_and_its_place_are_named(file, what) -> None:
    for layout in (ANY, EVENTS):
        with pytest.raises(DataError, match=what) as caught:
            list(elements([file + b" " * 50], layout))
        assert not isinstance(caught.value, Truncated)
        assert "byte" in caught.value.message


def device(count: int, order: str = "key first") -> dict[str, object]:
    records = [{"n": n, "extras": {"l": [1, {}]}} for n in range(1, count + 1)]
    if order == "key first":
        return {"deviceId": "d", "other": [{"x": 1}] * 3, "events": records, "more": {"events": [1]}}
    return {"events": records, "deviceId": "d"}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 700 bytes, and elements of more than 1,500 are large."""
    monkeypatch.setattr(module, "BLOCK_BYTES", 700)
    monkeypatch.setattr(module, "LARGE_BYTES", 1500)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("chunk", [1, 97, 10_000])
def test_given_a_large_element_when_taken_apart_then_each_record_once(small, indent, chunk) -> None:
    file = json.dumps([device(200), device(1), device(0), device(200)], indent=indent).encode()
    found = list(elements((file[at : at + chunk] for at in range(0, len(file), chunk)), EVENTS))
    assert len(found) > 20
    numbers = []
    for one in found:
        for number, element in enumerate(json.loads(b"[%b]" % one.text), start=one.number):
            assert element["deviceId"] == "d"
            first = one.first_record
            numbers += [(number, first + n, record["n"]) for n, record in enumerate(element["events"])]
    assert numbers == [
        (number, n, n) for number, count in ((1, 200), (2, 1), (4, 200)) for n in range(1, count + 1)
    ]
    assert max(len(one.text) for one in found) < 4000


def test_given_a_bad_record_in_a_large_element_then_only_it_is_unsound(small) -> None:
    file = json.dumps([device(200)]).encode().replace(b'{"n": 77,', b'{"n": NaN,')
    found = list(elements([file], EVENTS))
    (bad,) = [one for one in found if not one.is_sound]
    assert (bad.first_record, bad.text.count(b'"n"')) == (77, 1)
    assert sum(one.text.count(b'"n"') for one in found) == 200


def test_given_a_large_element_with_its_group_last_then_it_is_whole(small, monkeypatch) -> None:
    file = json.dumps([device(200, "key last")]).encode()
    (element,) = elements([file], EVENTS)
    assert values([element]) == [device(200, "key last")]
    monkeypatch.setattr(module, "MAX_ELEMENT_BYTES", 2000)
    with pytest.raises(DataError, match="larger than 2000 bytes"):
        list(elements(one_by_one(file), EVENTS))


def test_given_a_large_element_with_its_group_twice_then_refused(small) -> None:
    file = json.dumps([device(200)]).encode()[:-2] + b',"deviceId":"other"}]'
    with pytest.raises(DataError, match="has 'deviceId' behind its records too"):
        list(elements([file], EVENTS))


@pytest.mark.long
def test_given_one_device_with_all_records_then_memory_stays_flat() -> None:
    record = json.dumps({"name": "n" * 200}).encode()

    def chunks() -> Iterator[bytes]:
        yield b'[{"deviceId":"0","events":[' + record
        for _ in range(64):
            yield (b"," + record) * 1500  # 64 times 0.3 MB
        yield b"]}]"

    tracemalloc.start()
    records = sum(one.text.count(b"name") for one in elements(chunks(), EVENTS))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert records == 64 * 1500 + 1
    assert peak < 16 * 1024 * 1024


def closing(text: str) -> int | None:
    """Where the bracket that closes the first one is, sign by sign; None if there is none."""
    stack, is_string, is_escaped = "", False, False
    for at, sign in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif is_string:
            is_escaped, is_string = sign == "\\", sign != '"'
        elif sign == '"':
            is_string = True
        elif sign in "[{":
            stack += sign
        elif sign in "]}":
            if stack[-1:] + sign not in ("[]", "{}"):
                return None
            stack = stack[:-1]
        if not stack and not is_string:
            return at
    return None


PIECES = st.sampled_from(['{"a":', '"b"', "{", "}", "[", "]", '"', ",", "\\", "1,"])


@settings(max_examples=2000, deadline=None, derandomize=True, database=None)
@given(pieces=st.lists(PIECES, max_size=14))
def test_given_any_text_when_a_glance_says_whole_then_it_is(pieces) -> None:
    text = "{" + "".join(pieces) + "}"
    assert not is_whole(text.encode()) or closing(text) == len(text) - 1


@pytest.mark.parametrize("text", ['{"a":[1,{"b":"c"}],}', '["x",NaN,[[[{}]]]]', "{}", '{"a":"é"}'])
def test_given_a_plain_text_when_looked_at_then_it_is_whole(text) -> None:
    assert is_whole(text.encode())


BROKEN = st.sampled_from(
    [
        '{"deviceId":"a","events":[{"n":1},{"n":2}],}',
        '{"deviceId":"a","events":[{"n":NaN},{"n":"}],},{"}]}',
        '{"deviceId":"a","events":[{"n":[{"x":1},{"deviceId":"y"},{"deviceId":NaN}]}]}',
        '{"deviceId":"a","events":[{"n":"\\"},{\\""},{"n":,}]}',
        '{"deviceId":"a" "events":[]}',
        '{"deviceId":"a","events":[{"n":1}]}',
    ]
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(texts=st.lists(BROKEN, min_size=1, max_size=8), size=st.integers(1, 200))
def test_given_broken_elements_in_any_order_then_each_one_whole(texts, size) -> None:
    file = b"[" + ",".join(texts).encode() + b"]"
    found = elements((file[at : at + size] for at in range(0, len(file), size)), EVENTS)
    assert [text.decode() for one in found for text in one.texts] == texts
