"""The gate for text and JSON from outside: whatever it is given, what passes is harmless."""

import json
import math
from typing import Any
from unicodedata import category

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mobexport.untrusted import (
    MAX_DEPTH,
    MAX_NUMBER,
    MAX_WORD,
    NotJson,
    Unfit,
    check_file_name,
    check_word,
    parse_json,
    prose,
)

MOST = 100_000
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
VALUES = st.recursive(
    st.none() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_given_ordinary_json_when_parsed_then_the_same_value(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert parse_json(text.encode(), MOST) == value


@given(st.binary(max_size=200) | st.text('[]{}",:\\ud80e+-.0123456789 \n', max_size=200).map(str.encode))
@example(b"[" * 50_000)
@example(b'{"a":' * 50_000)
@example(b"9" * 5000)
@example(b"1e999")
@example(b"NaN")
@example(b'"\\ud800"')
@example(b'{"\\udfff":1}')
def test_given_any_bytes_then_a_value_that_can_be_written_or_unfit(data: bytes) -> None:
    try:
        value = parse_json(data, MOST)
    except Unfit:
        return
    # It can go wherever it may go: to a table, a log, an answer.
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
    ("data", "place", "rule"),
    [
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "0.0.0.0.0", "nested"),
        (b"[" * 5000 + b"]" * 5000, "", "nested"),
        (b'{"a": [1, {"b": "\\ud800"}]}', "a.1.b", "surrogate"),
        (b'{"a": {"\\ud800": 1}}', "a", "surrogate"),
        (b'{"a": ' + b"1" * (MAX_NUMBER + 1) + b"}", "a", "number"),
        (b'{"a": 0.' + b"1" * MAX_NUMBER + b"}", "a", "number"),
        (b"[1e999]", "0", "number"),
        (b"[-Infinity]", "0", "number"),
        (b" " * (MOST + 1), "", "larger than 100000 bytes"),
    ],
)
def test_given_json_out_of_bounds_then_place_and_rule(data: bytes, place: str, rule: str) -> None:
    with pytest.raises(Unfit, match=rule) as refused:
        parse_json(data, MOST)
    assert refused.value.place == place
    assert not isinstance(refused.value, NotJson)


def test_given_json_just_within_the_bounds_then_passes() -> None:
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, MOST) is not None
    assert parse_json(b"1" * MAX_NUMBER, MOST) == int("1" * MAX_NUMBER)
    assert parse_json(b'"\\ud83d\\ude00"', MOST) == "\U0001f600"
    assert parse_json(b"\xef\xbb\xbf{}", MOST) == {}


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"\xff", b'"\xed\xa0\x80"', b'{"a": 1', "{}".encode("utf-16")]
)
def test_given_what_is_no_json_then_it_is_told_apart(data: bytes) -> None:
    with pytest.raises(NotJson):
        parse_json(data, MOST)


@given(st.text(max_size=300) | st.integers() | st.none())
@example("https://a.blob.core.windows.net/c?sig=SECRET")
@example("..")
@example("a\0")
@example("é")
def test_given_any_word_then_it_passes_as_it_is_or_not_at_all(value: Any) -> None:
    try:
        found = check_word(value, "id")
    except Unfit:
        return
    assert found == value
    assert len(found) <= MAX_WORD
    assert found.isascii()
    assert not set(found) & set("/\\?#&%'\" \n")
    assert found not in (".", "..")


@pytest.mark.parametrize("word", ["job-001", "0190a0de-1111-7222-8333-444444444444", "A.b_c:d@e+f=g", "7"])
def test_given_an_ordinary_id_then_passes(word: str) -> None:
    assert check_word(word, "id") == word


@pytest.mark.parametrize(
    "word", ["x" * (MAX_WORD + 1), "sig=abc", "a/b", "", 7, None, "whsec_MfKQ9r8GKYqrTwjUP"]
)
def test_given_a_long_secret_or_odd_id_then_refused_and_never_repeated(word: Any) -> None:
    with pytest.raises(Unfit) as refused:
        check_word(word, "id")
    assert not word or str(word) not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["a\0", "a\n", "\ud800", "x" * 501, "", "/a", "a/", "a//b", "..", "a/../b", "."]
)
def test_given_a_files_name_that_is_odd_then_refused(name: str) -> None:
    with pytest.raises(Unfit):
        check_file_name(name)


def test_given_an_ordinary_files_name_then_passes() -> None:
    for name in ("Event-1.json", "Ereignisse März/1.json", "a b/..c", "_SUCCESS"):
        check_file_name(name)


@given(st.text(max_size=3000))
@example("\ud800" * 5)
@example("a\0b\r\nc\u202e")
def test_given_any_prose_then_one_line_that_can_be_kept(text: str) -> None:
    found = prose(text, 100)
    assert len(found) <= 100
    assert not {category(char) for char in found} & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(found) & set("\r\n\0\u2028\u202e")
    json.dumps(found, ensure_ascii=False).encode()


def test_given_a_secret_in_prose_then_masked_also_where_the_text_is_cut() -> None:
    assert prose("x" * 95 + "sig=SECRETSECRET", 100) == "x" * 95 + "sig=…"
    assert prose(math.inf) == "inf"


def test_text_that_is_no_json_has_its_place() -> None:
    with pytest.raises(NotJson, match=r"^is not JSON in UTF-8: .* \(line 2, column 7\)$"):
        parse_json(b'{"a": 1,\n "b": x}', 100)
