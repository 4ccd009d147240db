"""Records under other names, as a mapping says: a struct of the team's names, read in bulk.

Fast path: msgspec decodes lines into a struct of what the mapping names, and each field's column is taken out
of all records at once. Slow path: a line is written again under the declared names, for the rules to judge
it. A path that leads into another field's value, and lists by key (`event_params[page]`), are read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec

from mobexport.export_types.model import ExportType, Field, FieldKind
from mobexport.raw_mapping import FieldSource, RawMapping
from mobexport.raw_paths import parse_path
from mobexport.records import json_text, times
from mobexport.records.checks import is_utf8
from mobexport.records.json_text import FAILS, NotJson, quote
from mobexport.records.structs import ABSENT, MAX_INTEGER, struct_of

_INTEGER = Annotated[int, msgspec.Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
_any = msgspec.json.Decoder().decode
_TYPES: Final[Mapping[FieldKind, Any]] = {
    FieldKind.ID: str,
    FieldKind.TEXT: str,
    FieldKind.TIME: str,
    FieldKind.INTEGER: _INTEGER,
    FieldKind.BOOLEAN: bool,
    FieldKind.OBJECT: msgspec.Raw,
    FieldKind.JSON: msgspec.Raw,
}
_FORM_TYPES: Final[Mapping[str, Any]] = {
    "epoch-s": int | float | str,
    "epoch-ms": int | float | str,
    "epoch-us": int | float | str,
    "text": str | int | float,
    "pairs": msgspec.Raw,
}


class NotSelected(Exception):
    """`where` of the mapping leaves a record out."""


@dataclass
class _Node:
    """A member of the team's records that some path leads to or through."""

    uses: list[Any] = field(default_factory=list)
    """Types that it is read as."""
    children: dict[str, _Node] = field(default_factory=dict)

    def at(self, path: Iterable[str]) -> _Node:
        node = self
        for name in path:
            node = node.children.setdefault(name, _Node())
        return node

    @property
    def is_raw(self) -> bool:
        """Whether it is taken as text, and read from there."""
        return len(set(map(str, self.uses))) > 1 or (bool(self.uses) and bool(self.children))


Column = Callable[[list[Any], set[int]], list[Any]]
"""Takes records and gives a value for each; adds the places of what cannot be read."""


class MappedRecords:
    """Reads records of one type by a mapping."""

    def __init__(self, export_type: ExportType, mapping: RawMapping) -> None:
        self._type = export_type
        self._zone = mapping.time_zone
        self._sources = mapping.fields
        self._leaves = {leaf.name: leaf for leaf in export_type.leaves}
        self._where = {path: frozenset(map(quote, values)) for path, values in mapping.selects.items()}
        root = _Node()
        for path in self._where:
            root.at(parse_path(path).members).uses.append(msgspec.Raw)
        for name, source in self._sources.items():
            for path in source.path:
                root.at(parse_path(path).members).uses.append(self._use(path, name))
        self._struct = _struct(export_type.name, root)
        self.decode = msgspec.json.Decoder(self._struct).decode
        self._selected = [
            (self._column(root, parse_path(path).members, msgspec.Raw), ok)
            for path, ok in self._where.items()
        ]
        self._columns = {name: self._values(root, name, source) for name, source in self._sources.items()}
        self._make = struct_of(export_type.name, export_type.fields, is_positional=True)
        self._inner = {
            one.name: struct_of(one.name, one.members, is_positional=True)
            for one in export_type.fields
            if one.members
        }
        self._required = [one.name for one in export_type.fields if one.required]

    def columns(self) -> dict[str, Field]:
        """Top-level columns of Parquet that hold JSON, by name."""
        found = {}
        for name, source in self._sources.items():
            leaf = self._leaves[name]
            for path in source.path:
                first, *more = parse_path(path).members
                if not more and leaf.is_raw_json and not source.form:
                    found[first] = leaf
        return found

    def finish(self, run: list[Any]) -> tuple[list[Any], Sequence[int], set[int]]:
        """The records of decoded ones that are selected, their places, and which of them need the slow path.

        Of those the record counts for nothing.
        """
        bad: set[int] = set()
        at: Sequence[int] = range(len(run))
        for column, accepted in self._selected:
            found = column(run, set())
            if sum(map(found.count, map(msgspec.Raw, accepted))) == len(found):
                continue
            texts = map(bytes, found)
            keep = [text in accepted or (b"\\" in text and _same(text, accepted)) for text in texts]
            run, at = list(compress(run, keep)), list(compress(at, keep))
        if not run:
            return [], at, bad
        columns = {name: column(run, bad) for name, column in self._columns.items()}
        for name in self._required:
            values = columns[name]
            # Truth is looked up faster than None is found.
            if not all(values) and None in values:
                bad.update(place for place, value in enumerate(values) if value is None)
        for name, leaf in self._leaves.items():
            if leaf.choices and name in columns:
                bad.update(place for place, one in enumerate(columns[name]) if one not in leaf.choices)
        return list(map(self._make, *self._whole(columns, len(run)))), at, bad

    def line(self, text: bytes) -> bytes:
        """The record of a line under the declared names. Raises NotSelected.

        What is no object of sound JSON stays as it is: the rules say why.
        """
        if not is_utf8(text) or json_text.tame(text) != text:
            return text
        try:
            found = json_text.members(text)
        except NotJson:
            return text
        if found is None:
            return text
        for path, accepted in self._where.items():
            token = _token(found, path)
            if token is None or not (token in accepted or _same(token, accepted)):
                raise NotSelected
        tokens: dict[str, Any] = {}
        for name, source in self._sources.items():
            if (token := self._mapped_token(found, source)) is None:
                continue
            outer, _, inner = name.partition(".")
            if inner:
                tokens.setdefault(outer, {})[inner] = token
            else:
                tokens[name] = token
        return _object({k: _object(v) if isinstance(v, dict) else v for k, v in tokens.items()})

    # --- fast path ----------------------------------------------------------------------------------------

    def _use(self, path: str, name: str) -> Any:
        """The type that a path's value is decoded as, for a field."""
        if parse_path(path).steps:
            return msgspec.Raw
        return _FORM_TYPES.get(self._sources[name].form) or _TYPES[self._leaves[name].kind]

    def _column(self, root: _Node, steps: Sequence[str], use: Any) -> Column:
        """Takes what lies at a path's members, read as that type; for Raw, ABSENT where there is none."""
        node, own = root, []
        inner: Column | None = None
        for at, name in enumerate(steps):
            number = list(node.children).index(name)
            own.append(f"m{number}")
            node = node.children[name]
            if node.is_raw and at < len(steps) - 1:
                inner = _again(_struct("inner", _Node(children=node.children)))
                break
        taken = _taken(own)
        if inner is not None:
            deeper = self._column(_Node(children=node.children), steps[at + 1 :], use)
            raw = inner

            def through(run: list[Any], bad: set[int]) -> list[Any]:
                return deeper(raw(taken(run), bad), bad)

            return through
        if node.is_raw and use is not msgspec.Raw:
            again = _again(use)
            return lambda run, bad: again(taken(run), bad)
        return lambda run, _bad: taken(run)

    def _values(self, root: _Node, name: str, source: FieldSource) -> Column:
        """The values of a field, in the form that the rules expect."""
        leaf, form, zone = self._leaves[name], source.form, self._zone
        if source.constant is not None:
            value: Any = msgspec.Raw(quote(source.constant)) if leaf.is_raw_json else source.constant
            return lambda run, _bad: [value] * len(run)
        parts = [
            (self._column(root, path.members, self._use(text, name)), path.steps)
            for text, path in zip(source.path, map(parse_path, source.path), strict=True)
        ]
        is_raw = leaf.is_raw_json

        def read(run: list[Any], bad: set[int]) -> list[Any]:
            values: list[Any] | None = None
            for column, steps in parts:
                found = column(run, bad)
                if steps:
                    found = [_dug(one, steps, is_raw=is_raw) for one in found]
                elif is_raw and len(parts) > 1:
                    found = [ABSENT if len(one) == 4 and bytes(one) == b"null" else one for one in found]
                if values is None:
                    values = found
                elif is_raw:
                    values = [one if len(one) else other for one, other in zip(values, found, strict=True)]
                else:
                    values = [other if one is None else one for one, other in zip(values, found, strict=True)]
            assert values is not None
            return _formed(values, form, zone, bad)

        return read

    def _whole(self, columns: Mapping[str, list[Any]], count: int) -> list[list[Any]]:
        """A column for each field of the type, objects of their members."""
        found: list[list[Any]] = []
        for one in self._type.fields:
            if one.members:
                members = [columns.get(f"{one.name}.{member.name}") for member in one.members]
                if any(members):
                    nothing: list[Any] = [None] * count
                    rows = zip(*[column or nothing for column in members], strict=True)
                    make = self._inner[one.name]
                    found.append(
                        [None if not any(v is not None for v in row) else make(*row) for row in rows]
                    )
                else:
                    found.append([None] * count)
            else:
                absent = ABSENT if one.is_raw_json else None
                found.append(columns.get(one.name) or [absent] * count)
        return found

    # --- slow path ----------------------------------------------------------------------------------------

    def _mapped_token(self, found: Mapping[str, bytes], source: FieldSource) -> bytes | None:
        if source.constant is not None:
            return quote(source.constant)
        for path in source.path:
            token = _token(found, path)
            if token is not None and token != b"null":
                return self._formed_token(token, source.form)
        return None

    def _formed_token(self, token: bytes, form: str) -> bytes:
        """A token in the form that the rules expect; as it is where it cannot be that."""
        if not form:
            return token
        if form == "pairs":
            made = bytes(_paired(msgspec.Raw(token)))
            return made or token
        try:
            value = _any(token)
        except FAILS:
            return token
        if form == "text":
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            return quote(str(value)) if is_number else token
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return token
        text = _formed([value], form, self._zone, set())[0]
        return token if text is None else quote(text)


def _struct(name: str, node: _Node) -> Any:
    """A struct of a node's children; members that nothing names are passed over."""
    members: list[Any] = []
    renamed = {}
    for number, (own, child) in enumerate(node.children.items()):
        attr = f"m{number}"
        renamed[attr] = own
        if child.is_raw or (child.uses and child.uses[0] is msgspec.Raw):
            members.append((attr, msgspec.Raw, ABSENT))
        elif child.uses:
            members.append((attr, child.uses[0] | None, None))
        else:
            inner = _struct(f"{name}_{attr}", child)
            members.append((attr, inner | None, inner()))
    return msgspec.defstruct(name, members, rename=renamed, frozen=True, gc=False)


def _taken(own: list[str]) -> Callable[[list[Any]], list[Any]]:
    get = attrgetter(".".join(own))
    steps = [attrgetter(name) for name in own]

    def slowly(record: Any) -> Any:
        for step in steps:
            if record is None:
                return None
            record = step(record)
        return record

    def taken(run: list[Any]) -> list[Any]:
        try:
            return list(map(get, run))
        except AttributeError:
            return [slowly(record) for record in run]

    return taken


def _again(use: Any) -> Column:
    """Reads texts as a type; what cannot be is bad, and as if it were absent."""
    is_struct = isinstance(use, type) and issubclass(use, msgspec.Struct)
    decode = msgspec.json.Decoder(use if is_struct else use | None).decode
    nothing = use() if is_struct else None

    def read(texts: list[Any], bad: set[int]) -> list[Any]:
        try:
            return [decode(text) if text else nothing for text in map(_bytes, texts)]
        except FAILS:
            found = []
            for place, text in enumerate(map(_bytes, texts)):
                try:
                    found.append(decode(text) if text else nothing)
                except FAILS:
                    # A null, or what is no object, has no members; the slow path says whether that matters.
                    bad.add(place)
                    found.append(nothing)
            return found

    return read


def _bytes(raw: Any) -> bytes:
    return b"" if raw is None else bytes(raw)


def _formed(values: list[Any], form: str, zone: str, bad: set[int]) -> list[Any]:
    match form:
        case "epoch-s" | "epoch-ms" | "epoch-us":
            return times.of_epoch(values, {"epoch-s": 1_000_000, "epoch-ms": 1000, "epoch-us": 1}[form])
        case "local":
            return times.of_local(values, zone)
        case "text":
            return [one if one is None or type(one) is str else str(one) for one in values]
        case "pairs":
            found = []
            for place, one in enumerate(values):
                made = _paired(one)
                if len(one) and not len(made):
                    bad.add(place)
                found.append(made)
            return found
        case _:
            return values


def _paired(raw: Any) -> msgspec.Raw:
    """A list of keys and values as an object; ABSENT for what is none."""
    try:
        pairs = _pairs(_any(bytes(raw))) if len(raw) else None
    except FAILS:
        return ABSENT
    return ABSENT if pairs is None else msgspec.Raw(quote(pairs))


def _pairs(value: Any) -> dict[str, Any] | None:
    """`[{"key": …, "value": …}]` as a dictionary. Source of typed values: BigQuery's export of GA4."""
    if not isinstance(value, list):
        return None
    found = {}
    for one in value:
        if not isinstance(one, dict) or not isinstance(one.get("key"), str):
            return None
        found[one["key"]] = _typed(one.get("value"))
    return found


def _typed(value: Any) -> Any:
    """`{"int_value": "5"}` as 5; other values as they are."""
    if not isinstance(value, dict):
        return value
    there = {name: one for name, one in value.items() if one is not None and name.endswith("_value")}
    if len(there) != 1 and there:
        return value
    for name, one in there.items():
        if name == "int_value" and isinstance(one, str) and one.lstrip("-").isdigit():
            return int(one)
        return one
    return None


def _dug(raw: Any, steps: Sequence[tuple[str, bool]], *, is_raw: bool) -> Any:
    """What the rest of a path, from its first bracket on, finds in a value."""
    nothing = ABSENT if is_raw else None
    try:
        value = _any(bytes(raw)) if raw is not None and len(raw) else None
    except FAILS:
        return nothing
    for key, in_brackets in steps:
        value = _item(value, key) if in_brackets and isinstance(value, list) else (
            value.get(key) if isinstance(value, dict) else None
        )  # fmt: skip
    if value is None:
        return nothing
    return msgspec.Raw(quote(value)) if is_raw else value


def _item(items: list[Any], key: str) -> Any:
    """By its number, by a member's value (`schema=iglu:…*`), or the value of a key."""
    if key.isdigit():
        return items[int(key)] if int(key) < len(items) else None
    name, is_equal, wanted = key.partition("=")
    if not is_equal:
        return (_pairs(items) or {}).get(key)
    start = wanted.removesuffix("*")
    for one in items:
        value = one.get(name) if isinstance(one, dict) else None
        if value == wanted or (start != wanted and isinstance(value, str) and value.startswith(start)):
            return one
    return None


def _token(found: Mapping[str, bytes], text: str) -> bytes | None:
    """The text of what lies at a path; None if there is nothing."""
    path = parse_path(text)
    *outer, last = path.members
    members = found
    for name in outer:
        inner = json_text.members(members[name]) if name in members else None
        if inner is None:
            return None
        members = inner
    token = members.get(last)
    if token is None or not path.steps:
        return token
    return bytes(_dug(token, path.steps, is_raw=True)) or None


def _same(token: bytes, accepted: frozenset[bytes]) -> bool:
    """Whether JSON says one of those values in another spelling."""
    try:
        return quote(_any(token)) in accepted
    except FAILS:
        return False


def _object(members: Mapping[str, bytes]) -> bytes:
    return b"{%b}" % b",".join([quote(name) + b":" + value for name, value in members.items()])
