"""The rules for records, and the verdict over a single one, in raw data and in export files alike.

The fast paths look at many records at once and only say which of them may be at fault; what is wrong with one
is said here alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mobexport import ids
from mobexport.export_types.model import Collected, ExportType, Field, FieldKind
from mobexport.records import json_text, times
from mobexport.records.json_text import NotJson, quote
from mobexport.records.structs import file_fields, is_needed

GUID: Final = re.compile(rf"{ids.GUID}|[0-9a-fA-F]{{32}}")
MAX_TEXT: Final = 256 * 1024
"""Characters of a string that is read: an id, a name, a time."""
_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]{0,17})")
_BLANK = " \t\r\n"
_STRINGS = (FieldKind.ID, FieldKind.TEXT, FieldKind.TIME)


class Rule(StrEnum):
    """Why a record cannot be used; docs/data-layout.md explains each."""

    NOT_UTF8 = "not-utf8"
    NOT_JSON = "not-json"
    NOT_A_ROW = "not-a-row"
    LONE_SURROGATE = "lone-surrogate"
    TOO_DEEP = "too-deep"
    TOO_LONG = "too-long"
    NOT_AN_OBJECT = "not-an-object"
    MISSING = "missing"
    WRONG_TYPE = "wrong-type"
    BLANK = "blank"
    BAD_TIME = "bad-time"
    UNKNOWN_VALUE = "unknown-value"
    OUTSIDE_WINDOW = "outside-window"
    TWICE = "twice"
    NOT_A_GUID = "not-a-guid"


class Fault(ValueError):
    """A record cannot be used. Kept without its traceback, which would keep all that was read with it."""

    def __init__(self, rule: Rule, field: str = "") -> None:
        super().__init__(f"{rule}:{field}" if field else str(rule))
        self.rule = rule
        self.field = field

    @property
    def label(self) -> str:
        """`rule`, or `rule:field`."""
        return str(self)


@dataclass(frozen=True)
class Judged:
    """A record without a fault."""

    text: bytes
    """An object of what is declared and there: JSON minified, times canonical."""
    unknown: tuple[tuple[str, str], ...]
    """(object that has it, name) of names that nobody declared; of the record's own, the object is empty."""


class Rules:
    """The checks of one kind of record, from its declaration."""

    def __init__(self, fields: Iterable[Field], required: Iterable[str], listed: Field | None = None) -> None:
        self._fields = tuple(fields)
        self._required = frozenset(required)
        self._listed = listed
        self._containers = [field for field in self._fields if field.members]
        self._names = frozenset(field.name for field in self._fields)
        self._members = {
            field.name: {member.name: f"{field.name}.{member.name}" for member in field.members}
            for field in self._containers
        }
        leaves = [leaf for field in self._fields for leaf in field.leaves()]
        self._texts = [leaf.name for leaf in leaves if not leaf.is_raw_json]

    @classmethod
    def of_raw(cls, export_type: ExportType) -> Rules:
        """For raw records."""
        return cls(export_type.fields, [field.name for field in export_type.fields if field.required])

    @classmethod
    def of_file(cls, export_type: ExportType) -> Rules:
        """For innermost records of an export file, with the group's fields."""
        fields = file_fields(export_type)
        shape = export_type.shape
        listed = export_type.field(shape.field) if isinstance(shape, Collected) else None
        return cls(fields, [field.name for field in fields if is_needed(field)], listed)

    def judge(self, text: bytes) -> Judged:
        """The record that a JSON text says. Raises Fault."""
        tokens, unknown = self._read(text)
        return Judged(self.check(tokens), unknown)

    def check(self, tokens: Mapping[str, bytes]) -> bytes:
        """The text of a record of those tokens, by names of leaves and objects. Raises Fault."""
        for field in self._containers:
            if field.name in tokens and not tokens[field.name].startswith(b"{"):
                raise Fault(Rule.WRONG_TYPE, field.name)
        parts = []
        for field in self._fields:
            if not field.members:
                if (value := self._value(field, field.name, tokens)) is not None:
                    parts.append(quote(field.name) + b":" + value)
            elif field.name in tokens:
                inner = [
                    quote(member.name) + b":" + value
                    for member in field.members
                    if (value := self._value(member, self._members[field.name][member.name], tokens))
                    is not None
                ]
                parts.append(quote(field.name) + b":{" + b",".join(inner) + b"}")
        if self._listed and self._listed.name in tokens:
            check_list(self._listed, tokens[self._listed.name])
        return b"{" + b",".join(parts) + b"}"

    def _read(self, text: bytes) -> tuple[dict[str, bytes], tuple[tuple[str, str], ...]]:
        """The tokens that are read, without nulls, and the names of others. Raises Fault."""
        if not is_utf8(text):
            raise Fault(Rule.NOT_UTF8)
        tamed = json_text.tame(text)
        try:
            found = json_text.members(tamed)
            if found is None:
                raise Fault(Rule.NOT_AN_OBJECT)
            unknown = [("", name) for name in found if name not in self._names]
            tokens: dict[str, bytes] = {}
            for field in self._fields:
                token = found.get(field.name, b"null")
                if token == b"null":
                    continue
                inner = json_text.members(token) if field.members else None
                if inner is None:
                    tokens[field.name] = token
                    continue
                tokens[field.name] = b"{}"
                declared = self._members[field.name]
                unknown += [(field.name, name) for name in inner if name not in declared]
                tokens |= {
                    whole: inner[name]
                    for name, whole in declared.items()
                    if inner.get(name, b"null") != b"null"
                }
        except NotJson:
            raise Fault(Rule.NOT_JSON) from None
        if tamed != text:
            raise Fault(Rule.LONE_SURROGATE)
        if any(json_text.is_too_deep(token) for token in tokens.values()):
            raise Fault(Rule.TOO_DEEP)
        for name in self._texts if len(text) > MAX_TEXT else ():
            token = tokens.get(name, b"")
            if len(token) <= MAX_TEXT:
                continue
            if not token.startswith(b'"') or len(json_text.string(token)) > MAX_TEXT:
                raise Fault(Rule.TOO_LONG, name)
        return tokens, tuple(unknown)

    def _value(self, field: Field, name: str, tokens: Mapping[str, bytes]) -> bytes | None:
        """A token as it is written; None if it is absent. Raises Fault."""
        token = tokens.get(name)
        if token is None:
            if name in self._required:
                raise Fault(Rule.MISSING, name)
            return None
        match field.kind:
            case FieldKind.INTEGER:
                right = _INTEGER.fullmatch(token) is not None
            case FieldKind.BOOLEAN:
                right = token in (b"true", b"false")
            case FieldKind.OBJECT:
                right = token.startswith(b"{")
            case FieldKind.JSON:
                right = True
            case _:
                right = token.startswith(b'"')
        if not right:
            raise Fault(Rule.WRONG_TYPE, name)
        if field.kind in _STRINGS:
            value: str | None = json_text.string(token)
            if name in self._required and is_blank(str(value)):
                raise Fault(Rule.BLANK, name)
            if field.kind is FieldKind.TIME and (value := times.canonical(str(value))) is None:
                raise Fault(Rule.BAD_TIME, name)
            if field.choices and value not in field.choices:
                raise Fault(Rule.UNKNOWN_VALUE, name)
            return quote(value)
        return json_text.minified(token) if field.is_raw_json else token


def is_blank(text: str) -> bool:
    """Whether a text has nothing but spaces, tabs and line ends."""
    return not text.strip(_BLANK)


def check_list(field: Field, token: bytes) -> None:
    """A list of distinct values of a field. Raises Fault."""
    values = json_text.items(token)
    if values is None or not all(value.startswith(b'"') for value in values):
        raise Fault(Rule.WRONG_TYPE, field.name)
    found = [json_text.string(value) for value in values]
    if len(set(found)) != len(found):
        raise Fault(Rule.TWICE, field.name)
    if field.choices and not set(found) <= set(field.choices):
        raise Fault(Rule.UNKNOWN_VALUE, field.name)


def is_utf8(text: bytes) -> bool:
    """Whether the bytes are UTF-8."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
