"""Paths of blob triggers: matching blobs, and the real host's messages for wrong paths."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devhost.triggers.blob_path import parse_path


def test_given_a_blob_pattern_then_names_are_greedy_and_case_counts() -> None:
    path = parse_path("exports/in/{name}.{ext}")
    assert (path.container, path.prefix) == ("exports", "in/")
    assert path.match("in/a.b.csv") == {"name": "a.b", "ext": "csv"}
    assert path.match("in/x/y.z/w.gz") == {"name": "x/y.z/w", "ext": "gz"}
    assert path.match("IN/a.csv") is None
    assert path.match("in/.csv") == {"name": "", "ext": "csv"}  # a name may be nothing
    assert path.match("in/csv") is None


@pytest.mark.parametrize("blob", ["any/thing", "a b%20é.json", "x\ny"])
def test_given_a_container_alone_when_blobs_are_matched_then_all_of_them(blob: str) -> None:
    assert parse_path("exports").match(blob) == {}
    assert parse_path("exports/{name}").match(blob) == {"name": blob}


def test_given_braces_and_dots_in_a_path_then_they_are_literal() -> None:
    path = parse_path("exports/{{a}}.x/{n}")
    assert path.match("{a}.x/1") == {"n": "1"}
    assert path.match("{a}-x/1") is None
    assert parse_path("exports/{a}-{a}").match("1-2") == {"a": "2"}


@given(st.text(alphabet="ab./_ %é", min_size=1), st.text(alphabet="abc", min_size=1, max_size=4))
def test_given_any_blob_name_then_the_last_dot_parts_name_and_extension(name: str, extension: str) -> None:
    assert parse_path("c-1/{name}.{ext}").match(f"{name}.{extension}") == {"name": name, "ext": extension}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exports/", "Invalid blob trigger path 'exports/'. Paths must be in the format 'container/blob'."),
        ("/a", "Invalid blob trigger path '/a'. Paths must be in the format 'container/blob'."),
        ("a\\b/c", "Paths must be in the format 'container/blob'."),
        ("{c}/a", "Invalid blob trigger path '{c}/a'. Container paths cannot contain {resolve} tokens."),
        ("Exports/a", "Invalid container name: Exports"),
        ("ex--ports/{a}", "Invalid container name: ex--ports"),
        ("ab", "Invalid container name: ab"),
        ("a" * 64, "Invalid container name: aaa"),
        ("exports-/a", "Invalid container name: exports-"),
        ("exports/a{", "Invalid template 'a{'. Missing closing bracket at position 2."),
        ("exports/a}b", "Invalid template 'a}b'. Missing opening bracket at position 2."),
        ("exports/a/{}", "Invalid template 'a/{}'. The parameter name at position 3 is empty."),
        ("exports/{1a}", "Invalid template '{1a}'. Invalid template expression '1a"),
        ("exports/{a-b}", "Invalid template '{a-b}'. The parameter name 'a-b' is invalid."),
        ("exports/{a.b}", "Capture expressions can't include dot operators"),
    ],
)
def test_given_a_wrong_path_when_read_then_the_error_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_path(text)
