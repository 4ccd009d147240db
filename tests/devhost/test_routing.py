"""Route templates: what matches, with which values, and which route wins."""

import pytest

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
        (r"api/{s:regex(^\d{{2}}$)}".replace("{{", "{").replace("}}", "}"), "/api/12", {"s": "12"}),
        ("files/{name}.{ext}", "/files/a.b.csv", {"name": "a.b", "ext": "csv"}),
        ("f/{*rest}", "/f/a%2Fb/c%C3%A9", {"rest": "a%2Fb/cé"}),
        ("f/{*rest}", "/f", {}),
    ],
)
def test_given_a_template_when_a_path_comes_then_it_matches_as_on_the_real_host(
    template: str, path: str, values: dict[str, str] | None
) -> None:
    assert _values(template, path) == values


def test_given_overlapping_routes_when_a_path_fits_several_then_the_more_particular_one_wins() -> None:
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


def test_given_the_same_path_for_two_methods_when_called_then_the_method_decides() -> None:
    router = Router([Route("a", ["GET"], 1), Route("a", ["post"], 2)])
    assert (router.find("GET", "/a"), router.find("POST", "/a")) == ((1, {}), (2, {}))
    assert router.find("PUT", "/a") is None


def test_given_an_unknown_constraint_when_the_route_is_read_then_it_is_refused() -> None:
    with pytest.raises(ValueError, match="'colour' is not known"):
        Route("a/{x:colour}", (), None)
