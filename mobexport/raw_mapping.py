"""Mappings of raw data, `[apps."name".raw.KIND]` of `exports.toml`: paths, formats, names of fields."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mobexport import export_types
from mobexport.export_types.model import ExportType, FieldKind
from mobexport.near_names import did_you_mean
from mobexport.raw_paths import parse_path
from mobexport.raw_presets import PRESETS

Scalar = str | bool | int | float
Path = Annotated[str, Field(min_length=1, max_length=200)]
_TOKEN = re.compile(r"\{([^{}]*)\}")
_CODES = re.compile(r"(?:%-?[YmdHMS]|%Q|[^%{}])+")
_CONTAINER = r"^(?:|\$root|\$logs|[a-z0-9][a-z0-9-]{1,61}[a-z0-9])$"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class FieldSource(_Table):
    """How a field gets its value; `"a.b"` is short for `{ path = "a.b" }`."""

    path: tuple[Path, ...] = ()
    """Members, with dots between; of several paths the first that has a value."""
    constant: Scalar | None = None
    """Instead of a path."""
    form: Literal["", "epoch-s", "epoch-ms", "epoch-us", "local", "text", "pairs"] = Field("", alias="as")
    """Times: seconds, milliseconds or microseconds since 1970 UTC, or a time without a zone, in `time_zone`.
    `text`: a number is taken as text. `pairs`: a list of `{key, value}` becomes an object."""

    @field_validator("path", mode="before")
    @classmethod
    def _paths(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str | list | tuple) else value

    @model_validator(mode="after")
    def _one(self) -> FieldSource:
        if bool(self.path) == (self.constant is not None):
            raise ValueError('say one of path and constant, as "a.b" or { constant = "x" }')
        for path in self.path:
            parse_path(path)
        return self


class RawMapping(_Table):
    """How a team's files are read as raw data of one kind. A preset gives what is not said."""

    preset: str = ""
    path: str = ""
    """Pattern of the blobs' names: `{app}`, `{kind}`, `{date:%Y/%m/%d}` (%Y %m %d %H %M %S, in parts too;
    `%-m`: no leading zeros; `%Q`: milliseconds since 1970 UTC), `*` within a folder, `**` across. Empty: the
    layout without a mapping."""
    container: str = Field("", pattern=_CONTAINER)
    """Empty: RAW_CONTAINER."""
    format: Literal["", "ndjson", "json", "tsv", "parquet", "avro"] = ""
    """Empty: by the ending."""
    columns: tuple[Path, ...] = Field((), max_length=1000)
    """Of `tsv`: the names of the cells of a line, in their order."""
    where: dict[Path, Scalar | tuple[Scalar, ...]] = {}
    """Records that count: for each path, its value or values."""
    time_zone: str = ""
    """IANA name, for times without a zone."""
    slack_days: int | None = Field(None, ge=0, le=31)
    """Instead of RAW_SLACK_DAYS."""
    fields: dict[str, FieldSource] = {}
    """By the kind's field (`"info.locale"` within an object); empty: fields have their own names."""

    @field_validator("path")
    @classmethod
    def _pattern(cls, value: str) -> str:
        for token in _TOKEN.findall(value):
            name, _, codes = token.partition(":")
            if token in ("app", "kind") or (name == "date" and _CODES.fullmatch(codes)):
                continue
            raise ValueError(f"{{{token}}}: there are {{app}}, {{kind}} and {{date:%Y-%m-%d}}")
        if "{" in _TOKEN.sub("", value) or "}" in _TOKEN.sub("", value) or value.startswith("/"):
            raise ValueError(
                "a pattern such as {app}/{kind}/{date:%Y-%m-%d}/*.json.gz, from the container on"
            )
        return value

    @field_validator("where")
    @classmethod
    def _paths(cls, value: dict[str, Any]) -> dict[str, Any]:
        for path in value:
            parse_path(path)
        return value

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            return value and str(ZoneInfo(value))
        except (OSError, ValueError, ZoneInfoNotFoundError):
            raise ValueError(f"{value!r} is no time zone; use a name such as Europe/Berlin") from None

    @property
    def selects(self) -> dict[str, tuple[Scalar, ...]]:
        """`where`, with a list for each path."""
        return {path: one if isinstance(one, tuple) else (one,) for path, one in self.where.items()}

    def problems(self, declared: ExportType) -> list[str]:
        """Contradictions with the kind's declaration."""
        leaves = {leaf.name: leaf for leaf in declared.leaves}
        whole = {field.name for field in declared.fields if field.members}
        found = list(self._column_problems())
        for name, source in self.fields.items():
            kind = leaves[name].kind if name in leaves else None
            if kind is None:
                members = (
                    ": map its members, as " + next(n for n in leaves if n.startswith(f"{name}."))
                    if (name in whole)
                    else f"; there are {', '.join(leaves)}"
                )
                found.append(f"fields.{name}: no field of {declared.kind}{members}")
            elif source.form and source.form not in _FORMS.get(kind, ()):
                allowed = ", ".join(_FORMS.get(kind, ())) or "none"
                found.append(
                    f"fields.{name}.as: {source.form} does not fit; a field of kind {kind} takes {allowed}"
                )
            elif source.form == "local" and not self.time_zone:
                found.append(f"fields.{name}.as: local needs time_zone")
        if self.fields or self.where:
            missing = [one.name for one in declared.fields if one.required and one.name not in self.fields]
            if missing:
                found.append(f"fields: {', '.join(missing)} must be mapped")
        return found

    def _column_problems(self) -> Iterator[str]:
        if (self.format == "tsv") != bool(self.columns):
            yield 'columns: say format = "tsv" and columns together'
        if not self.columns:
            return
        if repeated := [name for name, count in Counter(self.columns).items() if count > 1]:
            yield f"columns: {repeated[0]} stands twice"
        if not self.fields:
            yield "fields: say which columns are the fields"
        paths = [(f"fields.{name}", path) for name, one in self.fields.items() for path in one.path]
        for place, path in (*paths, *(("where", path) for path in self.where)):
            if (column := parse_path(path).members[0]) not in self.columns:
                yield f"{place}: {column!r} is none of the columns{did_you_mean(column, self.columns)}"
        for path, values in self.selects.items():
            if len(parse_path(path).members) == 1 and not all(isinstance(one, str) for one in values):
                yield f"where: cells are text: write the values of {path} in quotes"


_FORMS: Mapping[FieldKind, tuple[str, ...]] = {
    FieldKind.TIME: ("epoch-s", "epoch-ms", "epoch-us", "local"),
    FieldKind.ID: ("text",),
    FieldKind.TEXT: ("text",),
    FieldKind.OBJECT: ("pairs",),
}


def declared_kinds() -> dict[str, ExportType]:
    """The types that declare each kind of raw data."""
    return {one.kind: one for one in export_types.all_types()}


def with_presets(raw: Any) -> Any:
    """The tables of `raw` with what their presets say. Raises ValueError."""
    if not isinstance(raw, dict):
        return raw
    return {kind: _with_preset(kind, table) for kind, table in raw.items()}


def _with_preset(kind: str, table: Any) -> Any:
    if not isinstance(table, dict) or not isinstance(name := table.get("preset", ""), str) or not name:
        return table
    if name not in PRESETS:
        raise ValueError(f"raw.{kind}.preset: there is no {name!r}; there are {', '.join(PRESETS)}")
    if kind not in PRESETS[name]:
        known = ", ".join(PRESETS[name])
        raise ValueError(f"raw.{kind}.preset: {name} has no {kind}, only {known}: say fields")
    base = PRESETS[name][kind]
    fields = {**base.get("fields", {}), **table.get("fields", {})}
    return {**base, **table, "fields": fields}


def check_raw(raw: Mapping[str, RawMapping]) -> None:
    """Raises ValueError for kinds that there are not, and mappings that contradict their kind."""
    kinds = declared_kinds()
    found = []
    for kind, mapping in raw.items():
        if kind not in kinds:
            found.append(f"raw.{kind}: no kind of raw data; there are {', '.join(sorted(kinds))}")
        else:
            found += [f"raw.{kind}.{problem}" for problem in mapping.problems(kinds[kind])]
    if found:
        raise ValueError("; ".join(found))


def mapping_to_json(mapping: RawMapping) -> dict[str, Any]:
    """For a task's plan, so that a running task never sees a changed file."""
    found: dict[str, Any] = json.loads(mapping.model_dump_json(by_alias=True, exclude_defaults=True))
    return found
