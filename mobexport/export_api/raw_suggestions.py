"""Suggest a mapping for a record of other names: a preset that reads it, else fields by likely names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mobexport.export_api.writer.raw_layout import day_folder_reason
from mobexport.export_types.model import ExportType, Field, FieldKind
from mobexport.raw_mapping import RawMapping, with_presets
from mobexport.raw_paths import escape_member, is_path
from mobexport.raw_presets import PRESETS
from mobexport.records import json_text
from mobexport.records.checks import Fault, Rules
from mobexport.records.mapped import MappedRecords, NotSelected

_LIKELY: Final[Mapping[str, tuple[str, ...]]] = {
    "deviceId": ("deviceid", "did", "device", "anonymousid", "distinctid", "clientid", "installid", "userid"),
    "sessionId": ("sessionid", "session", "sid"),
    "name": ("name", "event", "eventname", "eventtype", "type", "action", "screen", "title"),
    "timestamp": ("timestamp", "time", "ts", "eventtime", "occurredat", "createdat", "at", "date"),
    "start": ("start", "starttime", "startedat", "begin", "timestamp", "time"),
    "end": ("end", "endtime", "endedat"),
    "extras": (
        "extras",
        "properties",
        "props",
        "eventproperties",
        "params",
        "data",
        "attributes",
        "segmentation",
    ),
    "jobId": ("jobid", "job", "id"),
    "crashId": ("crashid", "crash", "id"),
    "key": ("key", "tag", "name"),
    "value": ("value", "val"),
    "token": ("token", "pushtoken"),
}
"""Names that producers give a field, without case and punctuation, the likeliest first."""
_PATH = re.compile(r'path = "([^"]*)"')
_LOCAL = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?")
_DEEP = 4


@dataclass(frozen=True)
class Suggestion:
    """Keys of `[apps."name".raw.KIND]`."""

    keys: Mapping[str, str]
    """Values as TOML."""
    fields: Mapping[str, str]
    unknown: tuple[str, ...] = ()
    """Required fields for which nothing was found."""

    def lines(self, app: str, kind: str) -> Iterator[str]:
        """The table as text."""
        yield f'[apps."{app}".raw.{kind}]'
        yield from (f"{key} = {value}" for key, value in self.keys.items())
        if self.fields or self.unknown:
            yield f'[apps."{app}".raw.{kind}.fields]'
            yield from (f"{_key(name)} = {value}" for name, value in self.fields.items())

            told = "# required: nothing like it was found"
            yield from (f'{_key(name)} = "…"  {told}' for name in self.unknown)


def sample_of(text: bytes) -> Mapping[str, Any] | None:
    """A record of raw data; None for what is no object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def suggest(
    declared: ExportType, sample: Mapping[str, Any] | None, file: str, *, reads_names: bool
) -> Suggestion | None:
    """A mapping by which a record of a file (`{kind}/…`) could be read; None if there is nothing to say.

    `reads_names`: whether the record's own names may be the declared ones.
    """
    if sample is None:
        return None
    keys = _layout_keys(declared.kind, file)
    text = json_text.quote(sample)
    if reads_names and _is_read(declared, text):
        return Suggestion(keys, {}) if keys else None
    for name, kinds in PRESETS.items():
        if declared.kind in kinds and _is_read_by(declared, {"preset": name}, text):
            return Suggestion({"preset": f'"{name}"', **{k: v for k, v in keys.items() if k == "path"}}, {})
    paths = dict(_paths(sample))
    fields, unknown, zone = {}, [], False
    for one in declared.leaves:
        path = _likely(one, paths)
        if path is not None:
            form = _form(one, paths[path])
            zone = zone or form == "local"
            said = json.dumps(path, ensure_ascii=False)
            fields[one.name] = f'{{ path = {said}, as = "{form}" }}' if form else said
        elif one.required and "." not in one.name:
            unknown.append(one.name)
    if not fields:
        return None
    return Suggestion({**keys, **({"time_zone": '"UTC"'} if zone else {})}, fields, tuple(unknown))


def _layout_keys(kind: str, file: str) -> dict[str, str]:
    """`path` and `format` for a file that lies otherwise than without a mapping."""
    folder = file.removeprefix(f"{kind}/").partition("/")[0]
    reason = day_folder_reason(folder) if "/" in file.removeprefix(f"{kind}/") else None
    found = _PATH.search(reason.replace('\\"', '"')) if reason else None
    keys = {"path": f'"{found[1]}"'} if found else {}
    if not file.lower().endswith((".ndjson", ".ndjson.gz", ".parquet")):
        keys["format"] = '"ndjson"' if ".jsonl" in file.lower() or ".ndjson" in file.lower() else '"json"'
    return keys


def _is_read(declared: ExportType, text: bytes) -> bool:
    try:
        Rules(declared).judge(text)
    except Fault:
        return False
    return True


def _is_read_by(declared: ExportType, table: Mapping[str, Any], text: bytes) -> bool:
    kind = declared.kind
    mapping = RawMapping.model_validate(with_presets({kind: dict(table)})[kind])
    try:
        return _is_read(declared, MappedRecords(declared, mapping).line(text))
    except NotSelected:
        return False


def _paths(value: Mapping[str, Any], before: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    for name, one in value.items():
        path = before + escape_member(name)
        if not is_path(path):
            continue
        yield path, one
        if isinstance(one, dict) and depth < _DEEP:
            yield from _paths(one, f"{path}.", depth + 1)


def _likely(field: Field, paths: Mapping[str, Any]) -> str | None:
    last = field.name.rpartition(".")[2]
    names = _LIKELY.get(field.name, (last.lower(),))
    for name in names:
        for path in sorted(paths, key=lambda one: (one.count("."), len(one))):
            plain = re.sub(r"[^a-z0-9]", "", path.lower())
            ends = re.sub(r"[^a-z0-9]", "", path.lower().rpartition(".")[2])
            if name in (plain, ends) and _fits(field, paths[path]):
                return path
    return None


def _fits(field: Field, value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match field.kind:
        case FieldKind.OBJECT:
            return isinstance(value, dict)
        case FieldKind.TIME:
            return is_number or (isinstance(value, str) and value[:4].isdigit())
        case FieldKind.ID | FieldKind.TEXT:
            return is_number or isinstance(value, str)
        case FieldKind.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool)
        case FieldKind.BOOLEAN:
            return isinstance(value, bool)
        case _:
            return True


def _form(field: Field, value: Any) -> str:
    if field.kind is FieldKind.TIME:
        if isinstance(value, int | float):
            return "epoch-s" if value < 1e11 else "epoch-ms" if value < 1e14 else "epoch-us"
        return "local" if _LOCAL.fullmatch(str(value)) else ""
    return "text" if isinstance(value, int | float) and field.kind in (FieldKind.ID, FieldKind.TEXT) else ""


def _key(name: str) -> str:
    return f'"{name}"' if "." in name else name
