"""Write what docs/raw-data.md and docs/mappings.md say of the declarations and presets: `make raw-pages`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

from mobexport import export_types
from mobexport.export_types.model import Collected, ExportType, Field, FieldKind, Flat, Grouped, Latest
from mobexport.raw_presets import PAGES, PRESETS

DOCS = Path(__file__).parent.parent / "docs"
BEGIN, END = "<!-- generated: make raw-pages -->\n", "<!-- end of what is generated -->\n"
_KINDS = {
    FieldKind.ID: "text",
    FieldKind.TEXT: "text",
    FieldKind.TIME: "RFC 3339 time with an offset",
    FieldKind.INTEGER: "whole number",
    FieldKind.BOOLEAN: "true or false",
    FieldKind.OBJECT: "object, passed through",
    FieldKind.JSON: "any JSON, passed through",
}


def kinds_section() -> str:
    """A part for each kind: fields, an example line, what becomes of it."""
    declared = sorted(export_types.all_types(), key=lambda one: one.kind)
    return "\n".join(line for one in declared for line in _kind(one))


def presets_section() -> str:
    """A part for each preset: its page, its kinds as they would stand in `exports.toml`."""
    return "\n".join(line for name in PRESETS for line in _preset(name))


def _kind(declared: ExportType) -> Iterator[str]:
    yield f"## `{declared.kind}`\n"
    yield f"Folder `{{app}}/{declared.kind}/{{YYYY-MM-DD}}/`, export type **{declared.name}**.\n"
    yield "| field | value | what it says |"
    yield "|---|---|---|"
    for leaf in declared.leaves:
        needed = "" if leaf.required else "?"
        yield f"| `{leaf.name}`{needed} | {_value(leaf)} | {leaf.help} |"
    yield "\n```json"
    yield from declared.samples
    yield "```\n"
    yield f"{_becomes(declared)}\n"


def _value(leaf: Field) -> str:
    return f"one of {', '.join(f'`{one}`' for one in leaf.choices)}" if leaf.choices else _KINDS[leaf.kind]


def _becomes(declared: ExportType) -> str:
    group = ", ".join(f"`{name}`" for name in declared.group)
    match declared.shape:
        case Grouped(nested):
            told = f"Each record is one entry of `{nested}` in the element of its {group}, and one row."
        case Collected(name):
            told = f"The distinct values of `{name}` for each {group} become one list, and one row."
        case Latest(key, value, into):
            told = f"Of each `{key}` of a {group} the newest `{value}` counts, in `{into}`; one row each."
        case Flat():
            told = "Each element is one record, and one row."
    if declared.merge and not isinstance(declared.shape, Latest):
        same = ", ".join(f"`{name}`" for name in declared.merge.identity)
        told += f" Records with the same {same} are merged; those merged away count as superseded."
    if declared.joined:
        told += f" The device's `{declared.joined.kind}` are read too, into `{declared.joined.inner}`."
    if declared.historical:
        return f"{told} The day is that of `{declared.time}` in UTC."
    return f"{told} A snapshot reads the whole history; `{declared.time}` decides what is newest."


def _preset(name: str) -> Iterator[str]:
    about, page = PAGES[name]
    yield f"### `{name}`\n"
    yield f"{about}: <{page}>\n"
    tables = {json.dumps(table, default=dict): kind for kind, table in PRESETS[name].items()}
    for text, kind in tables.items():
        same = [other for other, table in PRESETS[name].items() if json.dumps(table, default=dict) == text]
        if len(same) > 1:
            yield f"Kinds: {', '.join(f'`{one}`' for one in same)}, each with\n"
        yield "```toml"
        yield f'[apps."com.example.shop".raw.{kind}]'
        yield from _toml(PRESETS[name][kind])
        yield "```\n"


def _toml(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if key == "columns":
            yield f"{key} = ["
            yield from wrap(_text(value)[1:-1], 110, initial_indent="  ", subsequent_indent="  ")
            yield "]"
        elif key != "fields":
            yield f"{key} = {_text(value)}"
    yield from (f"fields.{_key(key)} = {_text(value)}" for key, value in table.get("fields", {}).items())


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_text(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def _key(key: str) -> str:
    return key if key.replace("_", "").isalnum() else json.dumps(key)


def with_section(page: str, section: str) -> str:
    """A page with that between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{section}\n{END}{rest.partition(END)[2]}"


SECTIONS = {"raw-data.md": kinds_section, "mappings.md": presets_section}


def main() -> None:
    """Writes the pages."""
    for name, section in SECTIONS.items():
        path = DOCS / name
        path.write_text(with_section(path.read_text("utf-8"), section()), "utf-8")


if __name__ == "__main__":
    main()
