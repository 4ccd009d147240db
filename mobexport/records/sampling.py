"""Names in the first records of an export file: those that nobody declared, and those of the app's own data.

Only the first records are looked at, since reading the names of all would slow the conversion down
(docs/performance.md); what is broken is passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from mobexport.export_types.model import ExportType, Field, Grouped, Latest
from mobexport.records.elements import Elements
from mobexport.records.json_text import FAILS
from mobexport.records.names import Names, SampledNames
from mobexport.records.structs import file_fields

SAMPLED_RECORDS: Final = 5_000
"""Records of a file, or of a part of one, whose names are read."""

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_objects = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


class NameSampler:
    """Reads names until it has seen enough records."""

    def __init__(self, export_type: ExportType) -> None:
        fields = file_fields(export_type)
        self._shape = export_type.shape
        self._inner = export_type.inner
        self._head = {*export_type.group, export_type.inner}
        own = [one for one in fields if not self._inner or one.name not in export_type.group]
        self._declared = {one.name for one in own}
        self._members = {one.name: {member.name for member in one.members} for one in own if one.members}
        self._passed = [one.name for one in own if _is_object(one)]
        self._records = 0
        self._undeclared, self._extras = Names(), Names()

    def take(self, found: Elements) -> None:
        """Looks at elements, unless enough were seen or they are broken."""
        if self._records >= SAMPLED_RECORDS or not found.is_sound:
            return
        try:
            elements = _objects(b"[%b]" % found.text)
        except FAILS:
            return
        if not self._inner:
            self._look_at(elements)
            return
        self._count(self._undeclared, elements, self._head)
        for element in elements:
            nested = element.get(self._inner, msgspec.Raw(b"[]"))
            if isinstance(self._shape, Grouped):
                self._look_at(_read(_objects, nested) or [])
            elif isinstance(self._shape, Latest):
                self._records += len(_read(_object, nested) or {})

    def sampled(self) -> SampledNames:
        """What was seen so far."""
        return SampledNames(self._records, self._undeclared.ranked(), self._extras.ranked())

    def _look_at(self, records: list[dict[str, msgspec.Raw]]) -> None:
        records = records[: max(SAMPLED_RECORDS - self._records, 0)]
        self._records += len(records)
        self._count(self._undeclared, records, self._declared)
        for name, members in self._members.items():
            self._count(self._undeclared, _inside(records, name), members, f"{name}.")
        for name in self._passed:
            self._count(self._extras, _inside(records, name), frozenset())

    @staticmethod
    def _count(
        names: Names, objects: Iterable[dict[str, Any]], known: frozenset[str] | set[str], before: str = ""
    ) -> None:
        for keys, count in Counter(map(tuple, objects)).items():
            names.add([before + name for name in keys if name not in known], count)


def _is_object(field: Field) -> bool:
    return field.is_raw_json and field.kind == "object"


def _inside(records: Iterable[dict[str, msgspec.Raw]], name: str) -> list[dict[str, Any]]:
    values = (_read(_object, record[name]) for record in records if name in record)
    return [value for value in values if value is not None]


def _read(decode: Callable[[Any], Any], text: msgspec.Raw) -> Any:
    try:
        return decode(text)
    except FAILS:
        return None
