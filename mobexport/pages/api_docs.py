"""The page of an OpenAPI 3.1 document: plain HTML, without scripts or other hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
nav ul { columns: 20rem; padding-left: 1.2rem; }
h3 { font-family: ui-monospace, monospace; font-size: 1rem; overflow-wrap: anywhere; margin-top: 2.5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-weight: 600; padding: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid; }
code { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
"""
_METHODS: Final = ("get", "post", "put", "patch", "delete")


def render(document: Mapping[str, Any]) -> str:
    """The page. Everything of the document is escaped."""
    return "".join(_page(document))


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    info, base = document["info"], document["servers"][0]["url"]
    operations = [
        (method, path, item, item[method])
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    ]
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(info['title'])}: API</title><style>{_STYLE}</style></head><body>"
    yield f"<header><h1>{escape(info['title'])}</h1><p>OpenAPI {escape(document['openapi'])},"
    yield ' as a document: <a href="openapi.json">openapi.json</a></p></header>'
    yield '<nav aria-label="Operations"><ul>'
    for method, path, _, operation in operations:
        name = escape(operation["operationId"])
        yield f'<li><a href="#{name}">{method.upper()} {escape(path.rpartition("/devices")[2])}</a></li>'
    yield "</ul></nav><main>"
    for tag in document["tags"]:
        yield f"<section><h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>"
        for method, path, item, operation in operations:
            if tag["name"] in operation["tags"]:
                yield from _operation(method, base + path, item, operation)
        yield "</section>"
    yield "<section><h2>Schemas</h2>"
    for name, schema in document["components"]["schemas"].items():
        yield from _schema(name, schema)
    yield "</section></main></body></html>"


def _operation(
    method: str, path: str, item: Mapping[str, Any], operation: Mapping[str, Any]
) -> Iterator[str]:
    yield f'<article><h3 id="{escape(operation["operationId"])}">{method.upper()} {escape(path)}</h3>'
    yield f"<p>{escape(operation['summary'])}.</p>"
    names = ", ".join(name for one in operation["security"] for name in one)
    yield f"<p>Callers: {escape(names or 'anybody')}.</p>"
    parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
    if parameters:
        rows = [
            (
                f"<code>{escape(one['name'])}</code>",
                escape(one["in"]),
                _needed(one["required"]),
                _type(one["schema"]),
            )
            for one in parameters
        ]
        yield from _table("Parameters", ("name", "in", "needed", "value"), rows)
    if "requestBody" in operation:
        yield f"<p>Body: {_content(operation['requestBody'])}</p>"
    answers = [
        (escape(status), _content(one), escape(one["description"]))
        for status, one in sorted(operation["responses"].items())
    ]
    yield from _table("Answers", ("status", "body", "meaning"), answers)
    yield "</article>"


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f'<article><h3 id="schema-{escape(name)}">{escape(name)}</h3>'
    if "description" in schema:
        yield f"<p>{escape(schema['description'])}</p>"
    required = schema.get("required", ())
    rows = [
        (
            f"<code>{escape(field)}</code>",
            _needed(field in required),
            _type(one),
            escape(one.get("description", "")),
        )
        for field, one in schema.get("properties", {}).items()
    ]
    yield from _table("Fields", ("field", "needed", "value", "about"), rows)
    yield "</article>"


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table; cells are HTML."""
    yield f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">'
    yield f"<table><caption>{caption}</caption>"
    names = "".join(f'<th scope="col">{name}</th>' for name in header)
    yield f"<thead><tr>{names}</tr></thead><tbody>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
    yield "</tbody></table></div>"


def _needed(is_needed: bool) -> str:
    return "yes" if is_needed else "no"


def _content(holder: Mapping[str, Any]) -> str:
    found = holder.get("content", {})
    return ", ".join(f"{_type(one['schema'])} ({escape(media)})" for media, one in found.items())


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words of HTML."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    kind = escape(str(schema.get("type", "any")))
    if kind == "array":
        return f"array of {_type(schema.get('items', {}))}{_limits(schema)}"
    return f"{escape(schema['format']) if 'format' in schema else kind}{_limits(schema)}"


def _limits(schema: Mapping[str, Any]) -> str:
    names = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "default")
    found = [f"{name} {json.dumps(schema[name])}" for name in names if name in schema]
    return f" <small>({escape(', '.join(found))})</small>" if found else ""
