"""Binding expressions: read, matched, filled; the messages are the real host's."""

import re
import uuid
from datetime import UTC, datetime

import pytest
from azure.functions.meta import Datum
from hypothesis import given
from hypothesis import strategies as st

from devhost.bindings.expressions import binding_data, parse_template


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("out/{name}.{ext}", "out/a.b.csv"),
        ("{NAME}", "a.b"),
        ("{data.URL}/{data.deep.n}", "http://x/7"),
        ("{{literal}}-{ext}", "{literal}-csv"),
        ("{sys.methodName}", "f"),
        ("plain", "plain"),
        ("{yes}", "True"),
        ("{none}", ""),
    ],
)
def test_given_values_when_a_template_is_filled_then_names_count_whatever_their_case(
    template: str, expected: str
) -> None:
    values = {
        "name": "a.b",
        "ext": "csv",
        "data": {"url": "http://x", "deep": {"N": 7}},
        "sys": {"methodname": "f"},
        "yes": True,
        "none": None,
    }
    assert parse_template(template).fill(values) == expected


def test_given_built_in_names_when_filled_then_they_are_made_up() -> None:
    today = datetime.now(UTC)
    filled = parse_template("{datetime:yyyy-MM-dd}/{rand-guid}/{sys.randguid:N}").fill({})
    day, guid, digits = filled.split("/")
    assert abs((datetime.fromisoformat(f"{day}T00:00:00+00:00") - today).days) <= 1
    assert str(uuid.UUID(guid)) == guid
    assert re.fullmatch("[0-9a-f]{32}", digits)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ", parse_template("{DateTime}").fill({}))
    # a value of that name comes first
    assert parse_template("{datetime}").fill({"DateTime": "mine"}) == "mine"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a{", "Invalid template 'a{'. Missing closing bracket at position 2."),
        ("a}b", "Invalid template 'a}b'. Missing opening bracket at position 2."),
        ("a/{}", "Invalid template 'a/{}'. The parameter name at position 3 is empty."),
        ("{1a}", "Invalid template '{1a}'. Invalid template expression '1a"),
        ("{a-b}", "Invalid template '{a-b}'. The parameter name 'a-b' is invalid."),
    ],
)
def test_given_a_wrong_template_when_read_then_the_error_is_the_real_hosts(
    template: str, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_template(template)


def test_given_a_name_without_a_value_when_filled_then_the_error_names_it() -> None:
    with pytest.raises(ValueError, match="No value for named parameter 'who'"):
        parse_template("{who}").fill({})
    with pytest.raises(ValueError, match="accessing 'b'"):
        parse_template("{a.b}").fill({"a": {}})


@given(st.lists(st.text(alphabet="abc./-_%é ", min_size=1, max_size=8), min_size=2, max_size=2))
def test_given_any_values_when_a_template_is_filled_and_matched_then_it_fits(parts: list[str]) -> None:
    template = parse_template("in/{first}/x-{second}.json")
    name = template.fill({"first": parts[0], "second": parts[1]})
    found = template.pattern().fullmatch(name)
    assert found is not None
    assert f"in/{found[1]}/x-{found[2]}.json" == name


def test_given_a_request_when_its_data_are_taken_then_body_query_route_and_headers_are_in_it() -> None:
    request = {
        "body": Datum(b'{"id": 7, "name": "body"}', "bytes"),
        "query": {"name": Datum("query", "string")},
        "params": {"day": Datum("2026", "string")},
        "headers": {"x-a": Datum("1", "string")},
    }
    data = binding_data(Datum(request, "http"), {})
    assert (data["id"], data["name"], data["day"], data["Headers"]) == (7, "query", "2026", {"x-a": "1"})
