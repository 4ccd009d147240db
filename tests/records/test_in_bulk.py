"""What is read in bulk, or without recursion, says what the plain way says."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mobexport.records import json_text, times

YEARS = st.sampled_from(["0000", "0001", "1969", "1970", "2024", "2025", "9999"])
DAYS = st.sampled_from(["01-01", "02-29", "02-30", "12-31", "13-01", "1-1"])
CLOCKS = st.sampled_from(["00:00:00", "10:30:59", "23:59:59", "23:59:60", "24:00:00", "1:00:00"])
FRACTIONS = st.sampled_from(["", ".0", ".5", ".123", ".120000", ".000001", ".1234567"])
ZONES = st.sampled_from(["Z", "z", "", "+01:00", "-05:30", "+00:00", "-23:59", "+24:00", "+0100"])
TIMES = st.tuples(YEARS, st.just("-"), DAYS, st.sampled_from("TTTt "), CLOCKS, FRACTIONS, ZONES).map("".join)
PLAIN = st.builds("{}-03-23T10:30:59{}{}".format, YEARS, FRACTIONS, ZONES)
TOKENS = st.sampled_from([b"{", b"}", b"[", b"]", b",", b":", b'"a"', b'"b"', b"1", b"null", b" "])
VALUES = st.recursive(
    st.sampled_from([b"1", b"null", b'"x"', b" -0.5e3 "]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda found: b"[%b]" % b",".join(found)),
        st.lists(inner, max_size=3).map(lambda found: b"{%b}" % b",".join(b'"a":' + one for one in found)),
    ),
)


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(st.lists(st.one_of(st.none(), TIMES, PLAIN), max_size=4))
def test_given_times_when_read_together_then_as_one_by_one(texts) -> None:
    canonical, instants, bad = times.read(pa.array(texts, pa.string()))
    expected = [None if text is None else times.canonical(text) for text in texts]
    assert canonical.to_pylist() == expected
    assert instants.equals(pa.array(expected, pa.string()).cast(times.INSTANT))
    assert bad == [at for at, text in enumerate(texts) if text is not None and expected[at] is None]


@settings(max_examples=1000, deadline=None, derandomize=True, database=None)
@given(st.one_of(VALUES, st.lists(st.one_of(TOKENS, VALUES), max_size=8).map(b"".join)))
def test_given_any_tokens_read_without_recursion_then_as_msgspec_reads(text) -> None:
    assert _read(json_text._deep_members, text) == _read(json_text.members, text)


def test_given_json_deeper_than_the_stack_when_read_then_its_members() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert json_text.members(b'{"a":%b,"b":1}' % deep) == {"a": deep, "b": b"1"}
    assert _read(json_text.members, b'{"a":%b' % deep) == "not JSON"


def _read(read, text):
    try:
        return read(text)
    except json_text.NotJson:
        return "not JSON"
