"""Which function an HTTP path means: ASP.NET route templates and their order of precedence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import unquote

T = TypeVar("T")
_PARAMETER = re.compile(r"\{(\*{0,2})(\w+)((?::\w+(?:\((?:[^()]|\([^()]*\))*\))?)*)(=[^{}?]*)?(\?)?\}")
_LITERAL, _MIXED, _CONSTRAINED, _FREE, _REST = range(5)


def _between(value: str, low: str, high: str) -> bool:
    return bool(re.fullmatch(r"[+-]?\d+", value)) and int(low) <= int(value) <= int(high)


def _length(value: str, arguments: str) -> bool:
    low, _, high = arguments.partition(",")
    return int(low) <= len(value) <= int(high or low)


_CHECKS: dict[str, Callable[[str, str], bool]] = {
    "int": lambda v, _: _between(v, "-2147483648", "2147483647"),
    "long": lambda v, _: _between(v, str(-(2**63)), str(2**63 - 1)),
    "bool": lambda v, _: v.lower() in ("true", "false"),
    "guid": lambda v, _: bool(re.fullmatch(r"\{?[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}\}?", v)),
    "alpha": lambda v, _: bool(re.fullmatch(r"[A-Za-z]+", v)),
    "decimal": lambda v, _: bool(re.fullmatch(r"[+-]?\d+(\.\d+)?", v)),
    "double": lambda v, _: bool(re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", v)),
    "datetime": lambda v, _: bool(re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?)?", v)),
    "length": _length,
    "minlength": lambda v, a: len(v) >= int(a),
    "maxlength": lambda v, a: len(v) <= int(a),
    "min": lambda v, a: _between(v, a, str(2**63 - 1)),
    "max": lambda v, a: _between(v, str(-(2**63)), a),
    "range": lambda v, a: _between(v, *(part.strip() for part in a.split(",", 1))),
    "regex": lambda v, a: bool(re.search(a, v, re.IGNORECASE)),
    "required": lambda v, _: bool(v),
}


@dataclass(frozen=True)
class _Parameter:
    name: str
    constraints: tuple[tuple[str, str], ...]
    default: str | None
    optional: bool

    def accepts(self, value: str) -> bool:
        return all(_CHECKS[kind](value, argument) for kind, argument in self.constraints)


@dataclass(frozen=True)
class _Segment:
    rank: int
    pattern: re.Pattern[str]
    parameters: tuple[_Parameter, ...]

    @property
    def can_be_absent(self) -> bool:
        return self.rank == _REST or (
            len(self.parameters) == 1
            and (self.parameters[0].optional or self.parameters[0].default is not None)
        )

    def match(self, text: str) -> dict[str, str] | None:
        found = self.pattern.fullmatch(text)
        if found is None:
            return None
        values = {p.name: found[f"p{i}"] for i, p in enumerate(self.parameters)}
        return values if all(p.accepts(values[p.name]) for p in self.parameters) else None


def _constraints(text: str) -> tuple[tuple[str, str], ...]:
    found = []
    for part in re.findall(r":((?:[^:()]|\([^()]*(?:\([^()]*\)[^()]*)*\))+)", text):
        kind, _, argument = part.partition("(")
        if kind.lower() not in _CHECKS:
            raise ValueError(f"the route constraint '{kind}' is not known")
        found.append((kind.lower(), argument.removesuffix(")")))
    return tuple(found)


def _segment(text: str) -> _Segment:
    parameters: list[_Parameter] = []
    pattern, end, is_rest = "", 0, False
    for match in _PARAMETER.finditer(text):
        star, name, constraints, default, optional = match.groups()
        is_rest = bool(star)
        pattern += re.escape(text[end : match.start()]) + f"(?P<p{len(parameters)}>.{'*' if star else '+'})"
        parameters.append(
            _Parameter(name, _constraints(constraints), default[1:] if default else None, bool(optional))
        )
        end = match.end()
    rest = text[end:]
    if "{" in rest or "}" in rest:
        raise ValueError(f"the route segment '{text}' cannot be read")
    whole = len(parameters) == 1 and _PARAMETER.fullmatch(text) is not None
    rank = _LITERAL if not parameters else _REST if is_rest else _MIXED
    if rank == _MIXED and whole:
        rank = _CONSTRAINED if parameters[0].constraints else _FREE
    return _Segment(rank, re.compile(pattern + re.escape(rest), re.IGNORECASE | re.DOTALL), tuple(parameters))


def _split(template: str) -> list[str]:
    """At slashes outside of braces (a regex constraint may hold one)."""
    parts, depth = [""], 0
    for char in template.strip("/"):
        depth += (char == "{") - (char == "}")
        if char == "/" and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part for part in parts if part]


class Route(Generic[T]):
    """A template, its methods (none: all) and its target. Raises ValueError for what cannot be read."""

    def __init__(self, template: str, methods: Iterable[str], target: T) -> None:
        self.methods = frozenset(m.upper() for m in methods)
        self.target = target
        self.segments = [_segment(part) for part in _split(template)]
        self.order = [segment.rank for segment in self.segments]

    def match(self, raw_path: str) -> dict[str, str] | None:
        """The values of the parameters, or None. `raw_path` is still percent-encoded."""
        parts = raw_path.strip("/").split("/") if raw_path.strip("/") else []
        values: dict[str, str] = {}
        for index, segment in enumerate(self.segments):
            if segment.rank == _REST:
                rest = "/".join(parts[index:])
                if rest:
                    # As the real host does: an encoded slash stays encoded here, everything else is decoded.
                    text = "%2F".join(unquote(piece) for piece in re.split("%2[fF]", rest))
                    found = segment.match(text)
                    if found is None:
                        return None
                    values.update(found)
                return values
            if index >= len(parts):
                if not segment.can_be_absent:
                    return None
                parameter = segment.parameters[0]
                if parameter.default is not None:
                    values[parameter.name] = parameter.default
                continue
            found = segment.match(unquote(parts[index]))
            if found is None:
                return None
            values.update(found)
        return values if len(parts) <= len(self.segments) else None


class Router(Generic[T]):
    """All routes, the more particular ones first."""

    def __init__(self, routes: Sequence[Route[T]]) -> None:
        self._routes = sorted(routes, key=lambda r: [*r.order, _LITERAL - 1])

    def find(self, method: str, raw_path: str) -> tuple[T, dict[str, str]] | None:
        for route in self._routes:
            if not route.methods or method.upper() in route.methods:
                values = route.match(raw_path)
                if values is not None:
                    return route.target, values
        return None
