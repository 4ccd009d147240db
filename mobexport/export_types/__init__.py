"""The registry of export types: one declaration a module, found by name or by route."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mobexport.errors import UnknownExportType
from mobexport.export_types.activity import ACTIVITY
from mobexport.export_types.crash import CRASH
from mobexport.export_types.device import DEVICE
from mobexport.export_types.error import ERROR
from mobexport.export_types.event import EVENT
from mobexport.export_types.job import JOB
from mobexport.export_types.model import (
    Collected,
    ExportType,
    Field,
    FieldKind,
    Flat,
    Grouped,
    Latest,
    Merge,
    Parameters,
    Route,
)
from mobexport.export_types.push import PUSH
from mobexport.export_types.session import SESSION
from mobexport.export_types.tag import TAG
from mobexport.export_types.token import TOKEN

__all__ = [
    "Collected",
    "ExportType",
    "Field",
    "FieldKind",
    "Flat",
    "Grouped",
    "Latest",
    "Merge",
    "Parameters",
    "Route",
    "all_types",
    "by_route",
    "get",
    "registered",
    "route",
]

_DECLARED = (ACTIVITY, CRASH, DEVICE, ERROR, EVENT, JOB, PUSH, SESSION, TAG, TOKEN)
_types: dict[str, ExportType] = {declared.name.lower(): declared for declared in _DECLARED}


def all_types() -> tuple[ExportType, ...]:
    """Every export type, by name."""
    return tuple(_types[name] for name in sorted(_types))


def get(name: str) -> ExportType:
    """The type of that name, in any case. Raises UnknownExportType that names the types there are."""
    try:
        return _types[name.lower()]
    except KeyError:
        known = ", ".join(declared.name for declared in all_types())
        raise UnknownExportType(f"there is no export type {name[:40]!r}; there are: {known}") from None


def route(name: str) -> tuple[ExportType, Route]:
    """The type whose POST ends in `name`, in any case, and that route of it. Raises UnknownExportType."""
    for declared in all_types():
        for one in declared.routes:
            if one.name.lower() == name.lower():
                return declared, one
    known = ", ".join(one.name for declared in all_types() for one in declared.routes)
    raise UnknownExportType(f"there is no route {name[:40]!r}; there are: {known}")


def by_route(name: str) -> ExportType:
    """The type whose POST ends in `name`, in any case. Raises UnknownExportType."""
    return route(name)[0]


@contextmanager
def registered(declared: ExportType) -> Iterator[ExportType]:
    """Adds a type for the time of a `with` block; a new declaration needs nothing else to work."""
    if declared.name.lower() in _types:
        raise ValueError(f"{declared.name} is registered already")
    _types[declared.name.lower()] = declared
    try:
        yield declared
    finally:
        del _types[declared.name.lower()]
