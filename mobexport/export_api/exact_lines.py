"""Reads lines that DuckDB would not take apart exactly, or not at all: tokens as they were written.

Slower, and only for such lines: numbers as `1e3`, escapes, names that stand twice, no JSON, unknown fields
that no other line has. The verdicts are those of `parsing` for every line that both can read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mobexport import json_text
from mobexport.export_api import parsing
from mobexport.export_types.model import ExportType


@dataclass(frozen=True)
class Exact:
    """A line that is a JSON object."""

    tokens: tuple[str | None, ...]
    """By `parsing.names`. JSON that passes through is minified; of an object with members: that it is one."""
    unknown: tuple[str, ...]
    """Names without a declaration, of members as `object.name`."""

    @property
    def is_long(self) -> bool:
        """Whether a token is longer than DuckDB should have to take apart."""
        return any(token and len(token) > json_text.LONG_TEXT for token in self.tokens)


def read_exactly(export_type: ExportType, text: str) -> Exact:
    """The tokens of a line; of members with one name the last counts.

    Raises NotJson whose rule says why the line cannot be used.
    """
    found = json_text.members(text)
    if json_text.has_lone_surrogate(text):
        raise json_text.NotJson("lone-surrogate")
    if found is None:
        raise json_text.NotJson("not-an-object")
    tokens: dict[str, str] = {}
    unknown = _unknown(found, (field.name for field in export_type.fields), "")
    for field in export_type.fields:
        text = found.get(field.name, "null")
        if not field.members:
            tokens[field.name] = json_text.minified(text) if field.is_raw_json else text
            continue
        members = json_text.members(text)
        tokens[field.name] = text if members is None else "{}"
        if members is not None:
            prefix = f"{field.name}."
            unknown += _unknown(members, (member.name for member in field.members), prefix)
            tokens |= {
                prefix + member.name: members[member.name]
                for member in field.members
                if member.name in members
            }
    for leaf in export_type.leaves:
        if not leaf.is_raw_json and len(tokens.get(leaf.name, "")) > json_text.LONG_TEXT:
            raise json_text.NotJson(f"too-long:{leaf.name}")
    return Exact(tuple(tokens.get(name) for name in parsing.names(export_type)), tuple(unknown))


def _unknown(found: Iterable[str], declared: Iterable[str], prefix: str) -> list[str]:
    known = set(declared)
    return [prefix + name for name in found if name not in known]
