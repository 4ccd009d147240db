"""Typed structs made from declarations: what msgspec decodes raw records and elements of export files into.

A field that may be absent is None, or the empty ABSENT where JSON passes through as text; both are left out
when the struct is encoded again, and so is UNSET.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from mobexport.export_types.model import ExportType, Field, FieldKind, Grouped, Latest

ABSENT: Final = msgspec.Raw()
MAX_INTEGER: Final = 10**18 - 1
_TYPES: Final[Mapping[FieldKind, Any]] = {
    FieldKind.ID: str,
    FieldKind.TEXT: str,
    FieldKind.TIME: str,
    FieldKind.INTEGER: Annotated[int, msgspec.Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)],
    FieldKind.BOOLEAN: bool,
    FieldKind.OBJECT: msgspec.Raw,
    FieldKind.JSON: msgspec.Raw,
}


def attribute(name: str) -> str:
    """The attribute of a struct that holds the member `name`."""
    return f"{name}_" if keyword.iskeyword(name) else name


def struct_of(
    name: str,
    fields: Iterable[Field],
    *,
    required: frozenset[str] = frozenset(),
    closed: bool = False,
    is_positional: bool = False,
) -> type[msgspec.Struct]:
    """A struct of those fields; objects with declared members are structs of their own.

    `required`: names of fields that must be there. `closed`: other names are an error. `is_positional`: made
    by the values in the order of the fields; none is required then.
    """
    members: list[Any] = []
    renamed: dict[str, str] = {}
    for field in fields:
        kind: Any = _TYPES[field.kind]
        if field.choices:
            kind = Literal[field.choices]
        if field.members:
            kind = struct_of(f"{name}_{field.name}", field.members, closed=closed)
        own = attribute(field.name)
        renamed[own] = field.name
        if kind is msgspec.Raw:
            members.append((own, kind, ABSENT))
        elif field.name in required:
            members.append((own, kind))
        else:
            members.append((own, kind | None, None))
    return msgspec.defstruct(
        name,
        members,
        rename=renamed,
        kw_only=not is_positional,
        gc=False,
        omit_defaults=True,
        forbid_unknown_fields=closed,
    )


def file_fields(export_type: ExportType) -> tuple[Field, ...]:
    """The fields of an innermost record of an export file: `columns`, with objects as one field each."""
    found: dict[str, Field] = {}
    for column in export_type.columns:
        outer = column.name.partition(".")[0]
        found.setdefault(outer, column if outer == column.name else export_type.field(outer))
    return tuple(found.values())


def is_needed(field: Field) -> bool:
    """Whether a record of an export file must have that field; our additions are not in files of others."""
    return field.required and field.published


def element_structs(export_type: ExportType) -> tuple[Any, Any, Any]:
    """The structs of an element of an export file, of its group's fields, and of its innermost records."""
    fields = file_fields(export_type)
    needed = frozenset(field.name for field in fields if is_needed(field))
    shape = export_type.shape
    head = struct_of(f"{export_type.name}_head", export_type.group_fields, required=needed)
    if not isinstance(shape, Grouped | Latest):
        element = struct_of(export_type.name, fields, required=needed)
        return element, head, element
    inner = [field for field in fields if field.name not in export_type.group]
    record = struct_of(f"{export_type.name}_record", inner, required=needed)
    listed = list[record] if isinstance(shape, Grouped) else dict[str, msgspec.Raw]  # type: ignore[valid-type]
    members = [(export_type.inner, listed)]
    element = msgspec.defstruct(export_type.name, members, bases=(head,), kw_only=True, gc=False)
    return element, head, record
