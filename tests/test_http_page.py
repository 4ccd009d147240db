"""The page of the HTTP API is made of the description, with every route and field."""

from mobexport.openapi import describe
from scripts.http_page import PAGE, page


def test_the_http_page_is_made_of_the_description() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `make pages`"


def test_given_the_http_page_when_read_then_every_route_and_field_is_there() -> None:
    text, document = PAGE.read_text("utf-8"), describe()
    for path, item in document["paths"].items():
        end = path.rpartition("/exportTasks")[2] if "/exportTasks" in path else path
        assert all(f"{method.upper()} " in text for method in item if method in ("get", "post"))
        assert f"{end}\n" in text
    for name, schema in document["components"]["schemas"].items():
        part = text.split(f"\n### {name}\n")[1].split("\n### ")[0]
        for field in schema["properties"]:
            assert f"| `{field}`" in part, f"{name}.{field}"
