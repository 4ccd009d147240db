"""Route templates: what matches, with which values, and which route wins."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devhost.routing import Route, Router


def _values(template: str, path: str) -> dict[str, str] | None:
    return Route(template, (), None).match(path)


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("api/exports", "/API/Exports/", {}),
        ("api/exports", "/api/exports/1", None),
        ("api/exports/{id}", "/api/exports/a%20b", {"id": "a b"}),
        ("api/exports/{id}", "/api/exports", None),
        ("api/{x?}", "/api", {}),
        ("api/{n:int?}", "/api/7", {"n": "7"}),
        ("api/{n:int?}", "/api/seven", None),
        ("api/{x=one}", "/api", {"x": "one"}),
        ("api/{n:int}", "/api/-12", {"n": "-12"}),
        ("api/{n:int}", "/api/12a", None),
        ("api/{n:int}", "/api/2147483648", None),
        (
            "api/{g:guid}",
            "/api/0f8fad5b-d9cb-469f-a165-70867728950e",
            {"g": "0f8fad5b-d9cb-469f-a165-70867728950e"},
        ),
        ("api/{g:guid}", "/api/zz", None),
        ("api/{n:range(1,3)}", "/api/4", None),
        (r"api/{s:regex(^\d{{2}}$)}", "/api/12", {"s": "12"}),
        (r"api/{s:regex(^\d{{2}}$)}", "/api/123", None),
        (r"api/{s:regex(^(a|b)c$)}", "/api/BC", {"s": "BC"}),
        ("api/{a}/{b?}", "/api/x", {"a": "x"}),
        ("api/{a:int}/{b:int?}", "/api/1/x", None),
        ("api/{a}/{b=two}", "/api/x", {"a": "x", "b": "two"}),
        ("api/{a}/{b=two}", "/api/x/y", {"a": "x", "b": "y"}),
        ("api/{a}", "/api/x%2Fy", {"a": "x%2Fy"}),
        ("api/{a}", "/api/x+y%2By", {"a": "x+y+y"}),
        ("api/{a}", "/api/%C3%A9%20%41", {"a": "é A"}),
        ("api/{a}", "/api//x", None),
        ("api/v{n:int}-{name}", "/api/v1-ab", {"n": "1", "name": "ab"}),
        # The last value is as short as can be, and then 1-a is no number.
        ("api/v{n:int}-{name}", "/api/v1-a-b", None),
        ("files/{name}.{ext?}", "/files/a.csv", {"name": "a", "ext": "csv"}),
        ("files/{name}.{ext?}", "/files/a", {"name": "a"}),
        ("f/{*rest}", "/f/a//b", {"rest": "a//b"}),
        ("f/{**rest}", "/f/a/b", {"rest": "a/b"}),
        ("f/{*rest=none}", "/f", {"rest": "none"}),
        ("f/{*rest:regex(^a)}", "/f/b/c", None),
        ("", "/", {}),
        ("files/{name}.{ext}", "/files/a.b.csv", {"name": "a.b", "ext": "csv"}),
        ("f/{*rest}", "/f/a%2Fb/c%C3%A9", {"rest": "a%2Fb/cé"}),
        ("f/{*rest}", "/f", {}),
    ],
)
def test_given_a_template_then_paths_match_as_on_the_real_host(
    template: str, path: str, values: dict[str, str] | None
) -> None:
    assert _values(template, path) == values


@pytest.mark.parametrize(
    ("constraint", "accepted", "refused"),
    [
        ("int", ["0", "+7", "-2147483648"], ["", "1.0", "2147483648", "0x1", "\u0661"]),
        ("long", ["9223372036854775807"], ["9223372036854775808"]),
        ("bool", ["true", "FALSE"], ["1", "yes"]),
        (
            "guid",
            [
                "0f8fad5bd9cb469fa16570867728950e",
                "{0f8fad5b-d9cb-469f-a165-70867728950e}",
                "(0F8FAD5B-D9CB-469F-A165-70867728950E)",
            ],
            ["0f8fad5b-d9cb469f-a165-70867728950e", "{0f8fad5bd9cb469fa16570867728950e}"],
        ),
        ("alpha", ["abcXYZ"], ["ab1", "é", "a_b"]),
        ("decimal", ["1", "-1.5", ".5", "5.", "1,000.25"], ["1e3", "NaN", "a"]),
        ("double", ["1e3", "-1.5E-2", "NaN"], ["1e", "a", ""]),
        ("float", ["1.5"], ["x"]),
        (
            "datetime",
            ["2026-01-02", "2026-01-02T03:04:05Z", "2026-01-02 03:04", "1-2-2026", "12-31-2026 5:06:07 PM"],
            ["2026-13-01", "tomorrow", "2026-02-30", "20260102"],
        ),
        ("length(3)", ["abc"], ["ab", "abcd"]),
        ("length(2,3)", ["ab", "abc"], ["a", "abcd"]),
        ("minlength(2)", ["ab"], ["a"]),
        ("maxlength(2)", ["ab"], ["abc"]),
        ("min(3)", ["3"], ["2", "x"]),
        ("max(3)", ["3", "-9"], ["4"]),
        ("range(1, 3)", ["1", "3"], ["0", "4"]),
        ("required", ["x"], []),
        ("file", ["a.txt", ".hidden"], ["a", "a."]),
        ("nonfile", ["a"], ["a.txt"]),
        ("INT", ["1"], ["a"]),
        ("int:min(2):max(4)", ["3"], ["1", "5", "x"]),
    ],
)
def test_given_a_route_constraint_then_values_are_accepted_as_in_dotnet(
    constraint: str, accepted: list[str], refused: list[str]
) -> None:
    template = f"a/{{x:{constraint}}}"
    for value in accepted:
        assert _values(template, f"/a/{quote(value)}") == {"x": value}, value
    for value in refused:
        assert _values(template, f"/a/{quote(value)}") is None, value


_VALUES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=8
)
_SEGMENTS = st.one_of(
    st.sampled_from(["lit", "Other", "v1.0"]),
    st.tuples(st.sampled_from(["", ":maxlength(9)"]), _VALUES),
)


@given(st.lists(_SEGMENTS, min_size=1, max_size=5))
def test_given_any_template_then_its_own_path_gives_the_values_back(segments) -> None:
    template, path, values = [], [], {}
    for index, segment in enumerate(segments):
        if isinstance(segment, str):
            template.append(segment)
            path.append(segment.upper())
        else:
            constraint, value = segment
            template.append(f"{{p{index}{constraint}}}")
            path.append(quote(value, safe=""))
            values[f"p{index}"] = value
    route = Route("/".join(template), (), None)
    assert route.match("/" + "/".join(path)) == values
    assert route.match("/" + "/".join([*path, "more"])) is None
    assert Route("/".join([*template, "{last?}"]), (), None).match("/" + "/".join(path)) == values


_DIGITS = {"lit": 1, "{x:int}": 2, "x{x}": 2, "{x}": 3, "{*x:int}": 4, "{*x}": 5}


@given(st.lists(st.lists(st.sampled_from(list(_DIGITS)), min_size=1, max_size=3), min_size=2, max_size=6))
def test_given_any_routes_when_sorted_then_in_order_of_their_precedence(templates) -> None:
    cut = [t[: next((i + 1 for i, s in enumerate(t) if "*" in s), len(t))] for t in templates]
    numbered = {"/".join(t): float("0." + "".join(str(_DIGITS[s]) for s in t)) for t in cut}
    router = Router([Route(t, (), t) for t in numbered])
    found = [numbered[route.target] for route in router._routes]
    assert found == sorted(found)


def test_given_overlapping_routes_then_the_most_specific_one_wins() -> None:
    templates = ["{*rest}", "a/{x}", "a/{x:int}", "a/b", "a/{x}/c"]
    router = Router([Route(t, (), t) for t in templates])
    found = {p: router.find("GET", p) for p in ("/a/b", "/a/1", "/a/z", "/a/z/c", "/q/w/e")}
    assert {p: f and f[0] for p, f in found.items()} == {
        "/a/b": "a/b",
        "/a/1": "a/{x:int}",
        "/a/z": "a/{x}",
        "/a/z/c": "a/{x}/c",
        "/q/w/e": "{*rest}",
    }


def test_given_the_same_path_for_two_methods_then_the_method_decides() -> None:
    router = Router([Route("a", ["GET"], 1), Route("a", ["post"], 2)])
    assert (router.find("GET", "/a"), router.find("POST", "/a")) == ((1, {}), (2, {}))
    assert router.find("PUT", "/a") is None


def test_given_an_unknown_constraint_then_the_route_is_refused() -> None:
    with pytest.raises(ValueError, match="'colour' is not known"):
        Route("a/{x:colour}", (), None)
