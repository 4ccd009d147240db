"""Write docs/http-api.md, each route and field of both APIs, from their description: `make pages`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mobexport.openapi import describe

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "http-api.md"
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_LIMITS: Final = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "{} or more characters",
    "maxLength": "at most {} characters",
    "minItems": "{} or more of them",
    "maxItems": "at most {} of them",
    "pattern": "as `{}`",
    "default": "default `{}`",
}
_LONG: Final = 40
"""A pattern longer than this is nothing for people."""
_HEAD: Final = """\
# HTTP API

<!-- This page is generated: make pages -->

Every route and field, from the description that the code checks calls with: `GET /api/openapi.json` (OpenAPI
3.1) of the running app, or `mobexport openapi`. Rules, limits and callers of the Export API in words:
[the Export API](export-api.md); codes of problems: [errors](errors.md).
"""


def page() -> str:
    """The whole page."""
    return "\n".join(_page(describe())).rstrip("\n") + "\n"


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    yield _HEAD
    base = document["servers"][0]["url"]
    for tag in document["tags"]:
        yield f"## {tag['name']}\n"
        yield f"{_sentence(tag['description'])}\n"
        for path, item in document["paths"].items():
            for method in _METHODS:
                if method in item and tag["name"] in item[method]["tags"]:
                    yield from _operation(method, base + path, item, item[method])
    yield "## Schemas\n"
    for name, schema in document["components"]["schemas"].items():
        yield from _schema(name, schema)


def _operation(
    method: str, path: str, item: Mapping[str, Any], operation: Mapping[str, Any]
) -> Iterator[str]:
    # The Export API's paths have one long beginning.
    before, found, end = path.rpartition("/exportTasks")
    yield f"### {method.upper()} {f'…{found}{end}' if before else path}\n"
    yield f"{_sentence(operation['summary'])}\n"
    if before:
        yield f"`{path}`\n"
    names = ", ".join(f"`{name}`" for one in operation["security"] for name in one)
    yield f"Callers: {names or 'anybody'}.\n"
    parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
    if parameters:
        rows = [
            (
                f"`{one['name']}`{'' if one['required'] else '?'}",
                one["in"],
                _value(one["schema"]),
                _about(one),
            )
            for one in parameters
        ]
        yield from _table(("parameter", "in", "value", "meaning"), rows)
    if "requestBody" in operation:
        yield f"Body: {_content(operation['requestBody'])}.\n"
    answers = [
        (status, _content(one), one["description"]) for status, one in sorted(operation["responses"].items())
    ]
    yield from _table(("status", "body", "meaning"), answers)


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    if "description" in schema:
        yield f"{_sentence(' '.join(schema['description'].split()))}\n"
    yield from _table(("field", "value", "meaning"), list(_fields("", schema)))


def _fields(before: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """A row for each field, then those of the objects in it: `links.next`, `problems[].field`."""
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        yield f"`{before}{name}`{'' if name in required else '?'}", _value(field), _about(field)
        for inner in (field, *field.get("anyOf", ())):
            yield from _fields(f"{before}{name}.", inner)
            yield from _fields(f"{before}{name}[].", inner.get("items", {}))


def _about(field: Mapping[str, Any]) -> str:
    if "description" in field:
        return str(field["description"])
    inner = (*field.get("anyOf", ()), field.get("schema", {}))
    return next((text for one in inner if one and (text := _about(one))), "")


def _content(holder: Mapping[str, Any]) -> str:
    found = holder.get("content", {})
    return ", ".join(f"{_value(one['schema'])} ({media})" for media, one in found.items())


def _value(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_value(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{one}`" if one != "" else "empty" for one in schema["enum"]) + _limits(schema)
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        return f"array of {_value(schema.get('items', {}))}{_limits(schema)}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_value(schema['additionalProperties'])}"
    return f"{schema.get('format', kind)}{_limits(schema)}"


def _limits(schema: Mapping[str, Any]) -> str:
    found = [
        text.format(schema[name] if name == "pattern" else json.dumps(schema[name]).strip('"'))
        for name, text in _LIMITS.items()
        if schema.get(name) is not None and not (name == "pattern" and len(schema[name]) > _LONG)
    ]
    return f" ({', '.join(found)})" if found else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    lines = [header, ["---"] * len(header), *rows]
    yield "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
    yield ""


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def main() -> None:
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
