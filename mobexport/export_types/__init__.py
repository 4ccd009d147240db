"""The registry of export types: one declaration a module, found by name or by route."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mobexport.errors import UnknownExportType
from mobexport.export_types.activity import ACTIVITY
from mobexport.export_types.event import EVENT
from mobexport.export_types.model import ExportType, Field, FieldKind, Grouped, Latest
from mobexport.export_types.tag import TAG

__all__ = [
    "ExportType",
    "Field",
    "FieldKind",
    "Grouped",
    "Latest",
    "all_types",
    "by_route",
    "get",
    "registered",
]

_types: dict[str, ExportType] = {declared.name.lower(): declared for declared in (ACTIVITY, EVENT, TAG)}


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


def by_route(route: str) -> ExportType:
    """The type whose POST ends in `route`, in any case. Raises UnknownExportType."""
    for declared in all_types():
        if declared.route.lower() == route.lower():
            return declared
    known = ", ".join(declared.route for declared in all_types())
    raise UnknownExportType(f"there is no route {route[:40]!r}; there are: {known}")


@contextmanager
def registered(declared: ExportType) -> Iterator[ExportType]:
    """Adds a type for the time of a `with` block: what a new declaration needs to work everywhere."""
    if declared.name.lower() in _types:
        raise ValueError(f"{declared.name} is registered already")
    _types[declared.name.lower()] = declared
    try:
        yield declared
    finally:
        del _types[declared.name.lower()]
