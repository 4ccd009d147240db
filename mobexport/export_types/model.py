"""Declarations of export types: routes, shape, fields, merging.

Imported at cold start: nothing here may import more than the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Literal

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")


class FieldKind(StrEnum):
    """Kind of a field's value, in raw lines and in export files."""

    ID = "id"
    """A string, by the published schema a GUID."""
    TEXT = "text"
    """A string."""
    TIME = "time"
    """An RFC 3339 time with an offset."""
    INTEGER = "integer"
    """A whole number of at most 18 digits, written without a fraction or an exponent."""
    BOOLEAN = "boolean"
    OBJECT = "object"
    """A JSON object, passed through as text unless its members are declared."""
    JSON = "json"
    """Any JSON value, passed through as text."""


_OF_OBJECTS = (FieldKind.ID, FieldKind.TEXT, FieldKind.INTEGER, FieldKind.BOOLEAN)


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
    choices: tuple[str, ...] = ()
    """The values it may have; empty: any of its kind."""
    members: tuple[Field, ...] = ()
    """Declared members of an OBJECT, each a column `name.member`; other members are unknown fields."""
    help: str = ""

    @property
    def is_raw_json(self) -> bool:
        """Whether the value passes through as JSON text."""
        return self.kind in (FieldKind.OBJECT, FieldKind.JSON) and not self.members

    def leaves(self) -> Iterator[Field]:
        """The field itself, or its members under dotted names."""
        if not self.members:
            yield self
        for member in self.members:
            yield replace(member, name=f"{self.name}.{member.name}")


class Parameters(StrEnum):
    """Parameters of a POST besides the target, by the names of the specification's models."""

    SNAPSHOT = "exportTaskParameter"
    DATES = "dateRangeExportTaskParameter"
    """`startDate`, `endDate`: UTC days of the time field, both included."""
    FEEDBACK_DATES = "feedbackByDateRangeParameter"
    """`campaignType`, `campaignWindowStart`, `campaignWindowEnd`: instants, both included."""
    FEEDBACK_CAMPAIGNS = "feedbackByCampaignParameter"
    """`campaignType`, `campaignIds`: values of the fields `campaignType` and `campaignId`."""


@dataclass(frozen=True)
class Route:
    """One way to ask for an export."""

    name: str
    """Last segment of the Export API's POST."""
    parameters: Parameters


@dataclass(frozen=True)
class Grouped:
    """Records nested in a list under one element for each group: `[{group…, nested: [{…}]}]`."""

    nested: str
    """Name of the list."""


@dataclass(frozen=True)
class Collected:
    """One field's distinct values, in time order, as a list for each group: `[{group…, field: […]}]`.

    The element is the innermost record; in CSV and Parquet the list is one column of JSON text.
    """

    field: str
    """Name of the field and of the list."""


@dataclass(frozen=True)
class Flat:
    """One object for each record that is left after merging: `[{…}]`."""


@dataclass(frozen=True)
class Latest:
    """The newest state for each group and `key`, as one map per group: `[{group…, into: {key: value}}]`.

    A null value removes its key; groups without any key are left out.
    """

    key: str
    value: str
    into: str


@dataclass(frozen=True)
class Merge:
    """Merging of the records that share an identity: one is kept, the others are superseded.

    Records are in the order of `by` (absent before any time), then of their place.
    """

    identity: tuple[str, ...]
    """Fields whose values the records share."""
    by: str
    """The time that orders them."""
    keep: Literal["first", "last"] = "last"
    """The record whose fields are taken."""
    greatest: tuple[str, ...] = ()
    """Fields of which the greatest value of all counts instead."""
    least: tuple[str, ...] = ()
    """Fields of which the least value of all counts instead."""
    each: tuple[str, ...] = ()
    """Fields of which the value of the last record that has one counts instead; objects as a whole."""
    present: str | None = None
    """A field that the kept record must have, or (a boolean) that must be true: else it is removed."""


Shape = Grouped | Collected | Flat | Latest


@dataclass(frozen=True)
class ExportType:
    """One export type; routes, queries, checks, Parquet columns and docs derive from it.

    Raises ValueError for a declaration that contradicts itself, which is a bug of the declaration.
    """

    name: str
    """As `exportType` shows it."""
    route: str
    """Last segment of the Export API's POST; of several, the first."""
    kind: str
    """Folder of its raw data."""
    historical: bool
    """Whether it takes startDate and endDate; else it is a snapshot."""
    shape: Shape
    group: tuple[str, ...]
    """Names of the fields that make an element's group, in order; an absent one is left out."""
    time: str
    """Name of the field that says when; decides the day, the order and what is latest."""
    fields: tuple[Field, ...]
    """All fields of a raw record, in the order of the columns: the group's first."""
    samples: tuple[str, ...] = ()
    """Raw lines, as an example."""
    merge: Merge | None = None
    """None: every record counts, exact duplicates too."""
    joined: ExportType | None = None
    """A type of shape Latest with the same group, whose map each element gets; its kind is read too."""
    routes: tuple[Route, ...] = ()
    """All ways to ask for it; empty: the one of `route` and `historical`."""

    def __post_init__(self) -> None:
        if not self.routes:
            parameters = Parameters.DATES if self.historical else Parameters.SNAPSHOT
            object.__setattr__(self, "routes", (Route(self.route, parameters),))
        if isinstance(self.shape, Latest) and not self.merge:
            latest = Merge((*self.group, self.shape.key), self.time, present=self.shape.value)
            object.__setattr__(self, "merge", latest)
        if problems := list(self._problems()):
            raise ValueError(f"export type {self.name}: {'; '.join(problems)}")

    def _problems(self) -> Iterator[str]:
        names = [field.name for field in self.leaves]
        parts = [part for name in names for part in name.split(".")]
        yield from (
            f"{name!r} is not a field name"
            for name in (*parts, *filter(None, [self.inner]))
            if not _NAME.fullmatch(name)
        )
        if len({name.lower() for name in names}) != len(names):
            yield "two fields have one name"
        if tuple(names[: len(self.group)]) != self.group or not self.group:
            yield "the group's fields come first, in the group's order"
        if not any(field.name == self.time and _is_instant(field) for field in self.fields):
            yield f"{self.time!r} is not a required time"
        if isinstance(self.shape, Latest) and not {self.shape.key, self.shape.value} <= set(names):
            yield "key and value must be fields"
        if isinstance(self.shape, Collected) and self.shape.field not in names:
            yield "the list must be of a field"
        if self.merge and not set(self.group) <= set(self.merge.identity):
            yield "records of different groups must not be merged"
        if self.route != self.routes[0].name:
            yield "the first of the routes must be `route`"
        yield from (
            f"member {member.name!r} of {field.name!r} must be an optional text, number or flag"
            for field in self.fields
            for member in field.members
            if member.required or member.choices or member.members or member.kind not in _OF_OBJECTS
        )
        if self.joined and (self.joined.group != self.group or not isinstance(self.joined.shape, Latest)):
            yield "only the map of a type with the same group can be joined"

    def field(self, name: str) -> Field:
        """The field of that name. Raises KeyError."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)

    @cached_property
    def leaves(self) -> tuple[Field, ...]:
        """All that is read of a raw record: the fields, members of objects under dotted names."""
        return tuple(leaf for field in self.fields for leaf in field.leaves())

    @property
    def kinds(self) -> tuple[str, ...]:
        """Folders of raw data that it reads, its own first."""
        return (self.kind, self.joined.kind) if self.joined else (self.kind,)

    @property
    def inner(self) -> str:
        """Name of the list or map that holds an element's records; empty if the element is the record."""
        match self.shape:
            case Grouped(nested):
                return nested
            case Latest(into=into):
                return into
            case _:
                return ""

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

    @cached_property
    def columns(self) -> tuple[Field, ...]:
        """Columns of CSV and Parquet, without `app`, in order: members of objects under dotted names.

        A snapshot's file carries no times, and no flag that only says whether the record counts. The map of
        a joined type is its last column, as JSON text.
        """
        hidden = set() if self.historical else {self.time}
        if self.merge and self.merge.present and self.field(self.merge.present).kind is FieldKind.BOOLEAN:
            hidden.add(self.merge.present)
        shown = [leaf for leaf in self.leaves if leaf.name not in hidden]
        if isinstance(self.shape, Collected):
            listed = replace(self.field(self.shape.field), kind=FieldKind.JSON, choices=())
            shown = [listed if leaf.name == listed.name else leaf for leaf in shown]
        if self.joined:
            shown.append(Field(self.joined.inner, FieldKind.OBJECT, help=f"the device's {self.joined.kind}"))
        return tuple(shown)


def _is_instant(field: Field) -> bool:
    return field.kind is FieldKind.TIME and field.required
