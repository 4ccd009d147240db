"""Problems of `exports.toml`, each with its line, its key, and what may stand there; pure.

A table's allowed keys are those of its model. Lines are found by reading the file once more, line by line:
the parser of the standard library tells none.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from mobexport.near_names import did_you_mean

Place = tuple[str | int, ...]

_KEY: Final = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)"""
_ASSIGNED: Final = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*=")
_HEADER: Final = re.compile(rf"\s*\[\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*\]")
_AT_LINE: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")
# Tables whose keys are names that people choose, and that may have dots.
_NAMED: Final = ("apps", "targets")


@dataclass(frozen=True)
class ConfigProblem:
    """One thing that is wrong."""

    place: Place
    """Path of the key; empty: the whole file."""
    message: str
    line: int | None = None
    """From 1; None where it is not known."""

    def __str__(self) -> str:
        place = shown_place(self.place)
        return f"{place}: {self.message}" if place else self.message

    def in_file(self, name: str) -> str:
        """`exports.toml:12: place: message`."""
        return f"{name}:{self.line}: {self}" if self.line else f"{name}: {self}"


class CrossProblems(ValueError):
    """Tables that do not fit together; `found` are the places and what is wrong."""

    def __init__(self, found: Sequence[tuple[Place, str]]) -> None:
        super().__init__("; ".join(f"{shown_place(place)}: {message}" for place, message in found))
        self.found = found


def shown_place(place: Place) -> str:
    """`apps."com.example.shop".notify`, as TOML writes it."""
    parts = (str(part) for part in place)
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"' for part in parts)


def syntax_problem(error: tomllib.TOMLDecodeError) -> ConfigProblem:
    """The problem of a file that is no TOML."""
    text = str(error)
    if at := _AT_LINE.search(text):
        return ConfigProblem((), f"{text[: at.start()]} (column {at[2]})", int(at[1]))
    return ConfigProblem((), text)


def find_problems(
    model: type[BaseModel],
    kinds: Mapping[str, type[BaseModel]],
    data: Mapping[str, Any],
    text: str,
    error: ValidationError,
) -> list[ConfigProblem]:
    """The problems in a model's error, in the order of their lines.

    `data` is what `text` says; `kinds` are the models of targets by their `kind`.
    """
    found: list[tuple[Place, str]] = []
    for item in error.errors(include_url=False):
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, CrossProblems):
            found += cause.found
        else:
            found.append(_explain(model, kinds, data, tuple(item["loc"]), item["type"], str(item["msg"])))
    return with_lines(found, text)


def with_lines(found: Iterable[tuple[Place, str]], text: str) -> list[ConfigProblem]:
    """The problems with the lines of their keys, in the order of the file."""
    lines = key_lines(text)
    problems = [ConfigProblem(place, message, _line(place, lines)) for place, message in dict(found).items()]
    return sorted(problems, key=lambda one: one.line or 0)


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """The line of each table and key by its path; keys of inline tables have none of their own."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _path(header[1])
            for depth in range(1, len(table) + 1):
                found.setdefault(table[:depth], number)
            found[table] = number
        elif assigned := _ASSIGNED.match(line):
            found.setdefault((*table, *_path(assigned[1])), number)
    return found


def _explain(
    model: type[BaseModel],
    kinds: Mapping[str, type[BaseModel]],
    data: Mapping[str, Any],
    place: Place,
    kind: str,
    message: str,
) -> tuple[Place, str]:
    is_extra = kind == "extra_forbidden"
    if (is_extra or place[:1] == ("targets",)) and (dotted := _unquoted(place, data, kinds)):
        first, name = dotted
        return (first, *name), (f'a name with dots stands in quotes: [{first}."{".".join(name)}"]')
    if is_extra:
        allowed = _allowed(model, kinds, data, place[:-1])
        near = did_you_mean(str(place[-1]), allowed)
        return place, f"no such key{near or '.'} Allowed: {', '.join(allowed)}"
    if kind == "missing":
        return place, "is missing"
    return place, message.removeprefix("Value error, ")


def _unquoted(
    place: Place, data: Mapping[str, Any], kinds: Mapping[str, type[BaseModel]]
) -> tuple[str, tuple[str, ...]] | None:
    """`("apps", ("com", "example", "shop"))` where the header was `[apps.com.example.shop]`."""
    if len(place) < 2 or place[0] not in _NAMED:
        return None
    first, name = str(place[0]), [str(place[1])]
    inside = data.get(first, {}).get(name[0])
    if first == "targets":
        known = {"kind", *(key for one in kinds.values() for key in one.model_fields)}
        while isinstance(inside, dict) and len(inside) == 1 and isinstance(next(iter(inside.values())), dict):
            key, inside = next(iter(inside.items()))
            name.append(key)
        is_target = isinstance(inside, dict) and bool(known & inside.keys())
        return (first, tuple(name)) if len(name) > 1 and is_target else None
    if len(place) != 3 or not isinstance(inside, dict) or not isinstance(inside.get(place[2]), dict):
        return None
    key = str(place[2])
    while True:
        name.append(key)
        inside = inside[key]
        inner = [one for one, value in inside.items() if isinstance(value, dict)]
        if len(inside) != 1 or len(inner) != 1 or inner[0] in ("source", "schedule", "raw"):
            return first, tuple(name)
        key = inner[0]


def _allowed(
    model: type[BaseModel], kinds: Mapping[str, type[BaseModel]], data: Mapping[str, Any], place: Place
) -> list[str]:
    """The keys of the table at a place."""
    annotation: Any = model
    value: Any = data
    for part in place:
        value = value.get(part) if isinstance(value, Mapping) else None
        tables = list(_models(annotation))
        if tables:
            annotation = (
                tables[0].model_fields[str(part)].annotation if part in tables[0].model_fields else None
            )
        else:
            annotation = get_args(annotation)[-1] if get_origin(annotation) is dict else None
    found = next(_models(annotation), None)
    if found is not None and isinstance(value, Mapping) and place[:1] == ("targets",):
        found = kinds.get(str(value.get("kind")), found)
    return sorted(found.model_fields) if found is not None else []


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in an annotation: itself, of `X | None`, of `Annotated[X, …]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _models(part)
    elif get_origin(annotation) is Annotated:
        yield from _models(get_args(annotation)[0])


def _line(place: Place, lines: Mapping[tuple[str, ...], int]) -> int | None:
    parts = tuple(str(part) for part in place)
    return next((lines[parts[:end]] for end in range(len(parts), 0, -1) if parts[:end] in lines), None)


def _path(text: str) -> tuple[str, ...]:
    """The parts of a dotted key."""
    value: Any = tomllib.loads(f"{text} = 0")
    parts = []
    while isinstance(value, dict):
        key, value = next(iter(value.items()))
        parts.append(key)
    return tuple(parts)
