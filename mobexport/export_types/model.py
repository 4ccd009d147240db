"""What a declaration of an export type says; changes when a type needs to say something new.

Imported at cold start: nothing here may import more than the standard library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")


class FieldKind(StrEnum):
    """What a field's value must be, in raw lines and in export files."""

    ID = "id"
    """A string, by the published schema a GUID."""
    TEXT = "text"
    """A string."""
    TIME = "time"
    """An RFC 3339 time with an offset."""
    OBJECT = "object"
    """A JSON object, passed through as text."""
    JSON = "json"
    """Any JSON value, passed through as text."""


@dataclass(frozen=True)
class Field:
    """One field of a record."""

    name: str
    """camelCase, the same in raw lines, export files and Parquet."""
    kind: FieldKind
    required: bool = False
    """A record without it, or where it is blank, is a reject: raw lines and export files alike."""
    strict: bool = False
    """The published schema asks for it, real devices omit it: null and counted, or a reject when strict."""
    published: bool = True
    """False: our addition, which files of other servers do not have, so that it is optional there."""
    help: str = ""

    @property
    def is_raw_json(self) -> bool:
        """Whether the value passes through as JSON text."""
        return self.kind in (FieldKind.OBJECT, FieldKind.JSON)


@dataclass(frozen=True)
class Grouped:
    """Records nested in a list under one element for each group: `[{group…, nested: [{…}]}]`."""

    nested: str
    """Name of the list."""


@dataclass(frozen=True)
class Latest:
    """The newest state for each group and `key`, as one map per group: `[{group…, into: {key: value}}]`.

    A null value removes its key; groups without any key are left out.
    """

    key: str
    value: str
    into: str


@dataclass(frozen=True)
class ExportType:
    """One export type; routes, queries, checks, Parquet columns and docs derive from it.

    Raises ValueError for a declaration that contradicts itself, which is a bug of the declaration.
    """

    name: str
    """As `exportType` shows it."""
    route: str
    """Last segment of the Export API's POST."""
    kind: str
    """Folder of its raw data."""
    historical: bool
    """Whether it takes startDate and endDate; else it is a snapshot."""
    shape: Grouped | Latest
    group: tuple[str, ...]
    """Names of the fields that make an element's group, in order; an absent one is left out."""
    time: str
    """Name of the field that says when; decides the day, the order and what is latest."""
    fields: tuple[Field, ...]
    """All fields of a raw record, in the order of the columns: the group's first."""
    samples: tuple[str, ...] = ()
    """Raw lines, as an example."""

    def __post_init__(self) -> None:
        names = [field.name for field in self.fields]
        inner = self.shape.nested if isinstance(self.shape, Grouped) else self.shape.into
        problems = [f"{name!r} is no field name" for name in (*names, inner) if not _NAME.fullmatch(name)]
        if len({name.lower() for name in names}) != len(names):
            problems.append("two fields have one name")
        if tuple(names[: len(self.group)]) != self.group or not self.group:
            problems.append("the group's fields come first, in the group's order")
        if not any(field.name == self.time and _is_instant(field) for field in self.fields):
            problems.append(f"{self.time!r} is no required time")
        if isinstance(self.shape, Latest) and not {self.shape.key, self.shape.value} <= set(names):
            problems.append("key and value must be fields")
        if problems:
            raise ValueError(f"export type {self.name}: {'; '.join(problems)}")

    def field(self, name: str) -> Field:
        """The field of that name. Raises KeyError."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)

    @property
    def inner(self) -> str:
        """Name of the list or map that holds an element's records."""
        return self.shape.nested if isinstance(self.shape, Grouped) else self.shape.into

    @property
    def group_fields(self) -> tuple[Field, ...]:
        """The fields of the group, as they stand on the element."""
        return tuple(self.field(name) for name in self.group)

    @property
    def record_fields(self) -> tuple[Field, ...]:
        """The fields of an innermost record: what is left without the group."""
        return tuple(field for field in self.fields if field.name not in self.group)

    @cached_property
    def raw_json_names(self) -> frozenset[str]:
        """Names of the fields that pass through as JSON text."""
        return frozenset(field.name for field in self.fields if field.is_raw_json)

    @cached_property
    def other_names(self) -> frozenset[str]:
        """Names of the fields whose values are read."""
        return frozenset(field.name for field in self.fields if not field.is_raw_json)

    @property
    def columns(self) -> tuple[Field, ...]:
        """Columns of CSV and Parquet, without `app`. A snapshot's file carries no times."""
        if isinstance(self.shape, Latest):
            return tuple(field for field in self.fields if field.name != self.time)
        return self.fields


def _is_instant(field: Field) -> bool:
    return field.kind is FieldKind.TIME and field.required
