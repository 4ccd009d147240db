"""The rules for records, and the verdict over a single one, in raw data and in export files alike.

The fast paths look at many records at once and only say which of them may be at fault; what is wrong with one
is said here alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from mobexport import ids
from mobexport.export_types.model import Collected, ExportType, Field, FieldKind
from mobexport.records import json_text, times
from mobexport.records.json_text import NotJson, quote
from mobexport.records.structs import file_fields, is_needed

GUID: Final = re.compile(rf"{ids.GUID}|[0-9a-fA-F]{{32}}")
MAX_TEXT: Final = 256 * 1024
"""Characters of a string that is read: an id, a name, a time."""
FORMS: Final = {
    FieldKind.INTEGER: re.compile(rb"-?(?:0|[1-9][0-9]{0,17})\Z"),
    FieldKind.BOOLEAN: re.compile(rb"(?:true|false)\Z"),
    FieldKind.OBJECT: re.compile(rb"\{"),
}
"""Forms of tokens that are no strings."""
_strings = msgspec.json.Decoder(list[str]).decode
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
    """A record cannot be used: `rule`, or `rule:field`."""

    def __init__(self, rule: Rule, field: str = "") -> None:
        super().__init__(rule, field)
        self.rule = rule
        self.field = field

    def __str__(self) -> str:
        return f"{self.rule}:{self.field}" if self.field else str(self.rule)

    def bare(self) -> Fault:
        """To be kept: without the traceback and the causes, which would keep all that was read."""
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self


class Rules:
    """The checks of one kind of record, from its declaration."""

    def __init__(self, export_type: ExportType, *, is_file: bool = False) -> None:
        """`is_file`: of innermost records of an export file, with the group's fields; else of raw records."""
        fields = file_fields(export_type) if is_file else export_type.fields
        shape = export_type.shape
        self._fields = {field.name: field for field in fields}
        self._leaves = {leaf.name: leaf for field in fields for leaf in field.leaves()}
        self._required = {one.name for one in fields if (is_needed(one) if is_file else one.required)}
        self._listed = export_type.field(shape.field) if is_file and isinstance(shape, Collected) else None

    def judge(self, text: bytes) -> tuple[bytes, list[str]]:
        """The record that a JSON text says, and the names in it that nobody declared. Raises Fault.

        The record is an object of what is declared and there: JSON minified, times canonical. Names of
        members of objects are dotted.
        """
        if not is_utf8(text):
            raise Fault(Rule.NOT_UTF8)
        tamed = json_text.tame(text)
        tokens: dict[str, bytes] = {}
        unknown: list[str] = []
        try:
            if (found := json_text.members(tamed)) is None:
                raise Fault(Rule.NOT_AN_OBJECT)
            for name, token in found.items():
                field = self._fields.get(name)
                inner = json_text.members(token) if field and field.members else None
                if field is None:
                    unknown.append(name)
                elif token != b"null":
                    tokens[name] = token if inner is None else b"{}"
                for member, own in (inner or {}).items():
                    whole = f"{name}.{member}"
                    if whole not in self._leaves:
                        unknown.append(whole)
                    elif own != b"null":
                        tokens[whole] = own
        except NotJson:
            raise Fault(Rule.NOT_JSON) from None
        if tamed != text:
            raise Fault(Rule.LONE_SURROGATE)
        if any(map(json_text.is_too_deep, tokens.values())):
            raise Fault(Rule.TOO_DEEP)
        for leaf in self._leaves.values() if len(text) > MAX_TEXT else ():
            token = b"" if leaf.is_raw_json else tokens.get(leaf.name, b"")
            is_text = token.startswith(b'"')
            if len(token) > MAX_TEXT and (not is_text or len(json_text.string(token)) > MAX_TEXT):
                raise Fault(Rule.TOO_LONG, leaf.name)
        for name, field in self._fields.items():
            if field.members and not tokens.get(name, b"{").startswith(b"{"):
                raise Fault(Rule.WRONG_TYPE, name)
        values = {name: self._value(leaf, tokens.get(name)) for name, leaf in self._leaves.items()}
        for name, field in self._fields.items():
            if field.members and name in tokens:
                values[name] = _object({one.name: values[f"{name}.{one.name}"] for one in field.members})
        if self._listed and self._listed.name in tokens:
            check_list(self._listed, tokens[self._listed.name])
        return _object({name: values.get(name) for name in self._fields}), unknown

    def _value(self, field: Field, token: bytes | None) -> bytes | None:
        """A token as it is written; None if it is absent. Raises Fault."""
        if token is None:
            if field.name in self._required:
                raise Fault(Rule.MISSING, field.name)
            return None
        if field.kind in _STRINGS:
            if not token.startswith(b'"'):
                raise Fault(Rule.WRONG_TYPE, field.name)
            value: str | None = json_text.string(token)
            if field.name in self._required and is_blank(str(value)):
                raise Fault(Rule.BLANK, field.name)
            if field.kind is FieldKind.TIME and (value := times.canonical(str(value))) is None:
                raise Fault(Rule.BAD_TIME, field.name)
            if field.choices and value not in field.choices:
                raise Fault(Rule.UNKNOWN_VALUE, field.name)
            return quote(value)
        if (form := FORMS.get(field.kind)) and not form.match(token):
            raise Fault(Rule.WRONG_TYPE, field.name)
        return json_text.minified(token) if field.is_raw_json else token


def _object(members: Mapping[str, bytes | None]) -> bytes:
    there = ((name, value) for name, value in members.items() if value is not None)
    return b"{%b}" % b",".join([quote(name) + b":" + value for name, value in there])


def is_blank(text: str) -> bool:
    """Whether a text has nothing but spaces, tabs and line ends."""
    return not text.strip(_BLANK)


def check_list(field: Field, token: bytes) -> None:
    """A list of distinct values of a field. Raises Fault."""
    try:
        found = _strings(token)
    except msgspec.ValidationError:
        raise Fault(Rule.WRONG_TYPE, field.name) from None
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
