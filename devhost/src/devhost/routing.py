"""ASP.NET route templates and their order of precedence."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import unquote

T = TypeVar("T")
_PARAMETER = re.compile(r"\{(\*{0,2})(\w+)((?::\w+(?:\((?:[^()]|\([^()]*\))*\))?)*)(=[^{}?]*)?(\?)?\}")
_LITERAL, _CONSTRAINED, _FREE, _CONSTRAINED_REST, _REST = range(5)
"""Precedence of a segment, as RoutePrecedence.ComputeInbound of ASP.NET: one of several parts counts as
constrained.
"""


def _between(value: str, low: str, high: str) -> bool:
    return bool(re.fullmatch(r"\s*[+-]?[0-9]+\s*", value)) and int(low) <= int(value) <= int(high)


def _is_date(value: str, _: str) -> bool:
    """Common forms that DateTime.TryParse accepts: ISO or month-day-year, with or without a time."""
    time = r"(?:\d\d?:\d\d(?::\d\d(?:\.\d+)?)?(?: ?[AaPp][Mm])?)"
    zone = r"(?:Z|[+-]\d\d:\d\d)?"
    date = r"(?P<y>\d{4})-(?P<m>\d\d?)-(?P<d>\d\d?)|(?P<m2>\d\d?)-(?P<d2>\d\d?)-(?P<y2>\d{4})"
    found = re.fullmatch(rf"(?:{date})(?:[T ]{time}{zone})?", value)
    if found is None:
        return False
    try:
        datetime.date(*(int(found[name] or found[f"{name}2"]) for name in "ymd"))
    except ValueError:
        return False
    return True


def _is_float(value: str, _: str) -> bool:
    number = r"\s*[+-]?(?:[0-9][0-9,]*\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*"
    return bool(re.fullmatch(number, value)) or value in ("NaN", "Infinity", "-Infinity")


def _is_file(value: str, _: str) -> bool:
    """Whether the last part has a dot with something after it."""
    _, dot, extension = value.rpartition("/")[2].rpartition(".")
    return bool(dot and extension)


def _length(value: str, arguments: str) -> bool:
    low, _, high = arguments.partition(",")
    return int(low) <= len(value) <= int(high or low)


_DASHED = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_GUID = re.compile(rf"[0-9a-fA-F]{{32}}|{_DASHED}|\{{{_DASHED}\}}|\({_DASHED}\)")
_CHECKS: dict[str, Callable[[str, str], bool]] = {
    "int": lambda v, _: _between(v, "-2147483648", "2147483647"),
    "long": lambda v, _: _between(v, str(-(2**63)), str(2**63 - 1)),
    "bool": lambda v, _: v.strip().lower() in ("true", "false"),
    "guid": lambda v, _: bool(_GUID.fullmatch(v)),
    "alpha": lambda v, _: bool(re.fullmatch(r"[A-Za-z]*", v)),
    "decimal": lambda v, _: bool(re.fullmatch(r"\s*[+-]?(?:[0-9][0-9,]*\.?[0-9]*|\.[0-9]+)\s*", v)),
    "double": _is_float,
    "float": _is_float,
    "datetime": _is_date,
    "file": _is_file,
    "nonfile": lambda v, a: not _is_file(v, a),
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
    patterns: tuple[re.Pattern[str], ...]
    """A second one for `{name}.{ext?}`: without the last value its dot is missing too."""
    parameters: tuple[_Parameter, ...]

    @property
    def can_be_absent(self) -> bool:
        return self.rank in (_CONSTRAINED_REST, _REST) or (
            len(self.parameters) == 1
            and (self.parameters[0].optional or self.parameters[0].default is not None)
        )

    def match(self, text: str) -> dict[str, str] | None:
        found = next((f for p in self.patterns if (f := p.fullmatch(text))), None)
        if found is None:
            return None
        groups = found.groupdict()
        values = {p.name: groups[f"p{i}"] for i, p in enumerate(self.parameters) if f"p{i}" in groups}
        present = [p for p in self.parameters if p.name in values]
        return values if all(p.accepts(values[p.name]) for p in present) else None


def _constraints(text: str) -> tuple[tuple[str, str], ...]:
    found = []
    for part in re.findall(r":((?:[^:()]|\([^()]*(?:\([^()]*\)[^()]*)*\))+)", text):
        kind, _, argument = part.partition("(")
        if kind.lower() not in _CHECKS:
            raise ValueError(f"the route constraint '{kind}' is not known")
        # In a template a brace that means itself is written twice.
        argument = argument.removesuffix(")").replace("{{", "{").replace("}}", "}")
        found.append((kind.lower(), argument))
    return tuple(found)


def _segment(text: str) -> _Segment:
    parameters: list[_Parameter] = []
    pattern, end, is_rest = "", 0, False
    without_last: str | None = None
    for match in _PARAMETER.finditer(text):
        star, name, constraints, default, optional = match.groups()
        is_rest = bool(star)
        before = re.escape(text[end : match.start()])
        value = f"(?P<p{len(parameters)}>.{'*' if star else '+'})"
        if optional and match.end() == len(text) and before == r"\.":
            without_last = pattern
        pattern += before + value
        parameters.append(
            _Parameter(name, _constraints(constraints), default[1:] if default else None, bool(optional))
        )
        end = match.end()
    rest = text[end:]
    if "{" in rest or "}" in rest:
        raise ValueError(f"the route segment '{text}' cannot be read")
    whole = len(parameters) == 1 and _PARAMETER.fullmatch(text) is not None
    constrained = not whole or bool(parameters[0].constraints)
    if is_rest:
        rank = _CONSTRAINED_REST if constrained else _REST
    else:
        rank = _LITERAL if not parameters else _CONSTRAINED if constrained else _FREE
    patterns = [pattern + re.escape(rest), *([without_last] if without_last is not None else [])]
    flags = re.IGNORECASE | re.DOTALL
    return _Segment(rank, tuple(re.compile(p, flags) for p in patterns), tuple(parameters))


def _split(template: str) -> list[str]:
    """Parts between slashes; those inside braces belong to a regex constraint."""
    parts, depth = [""], 0
    for char in template.strip("/"):
        depth += (char == "{") - (char == "}")
        if char == "/" and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part for part in parts if part]


def _decoded(raw: str) -> str:
    """Percent-decoded but for slashes, as on the real host."""
    return "".join(piece if piece.lower() == "%2f" else unquote(piece) for piece in re.split("(%2[fF])", raw))


class Route(Generic[T]):
    """A template, its methods (none: all) and its target. Raises ValueError for an invalid template."""

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
            if segment.rank in (_CONSTRAINED_REST, _REST):
                rest = "/".join(parts[index:])
                if rest:
                    found = segment.match(_decoded(rest))
                    if found is None:
                        return None
                    values.update(found)
                elif (default := segment.parameters[0].default) is not None:
                    values[segment.parameters[0].name] = default
                return values
            if index >= len(parts):
                if not segment.can_be_absent:
                    return None
                parameter = segment.parameters[0]
                if parameter.default is not None:
                    values[parameter.name] = parameter.default
                continue
            found = segment.match(_decoded(parts[index]))
            if found is None:
                return None
            values.update(found)
        return values if len(parts) <= len(self.segments) else None


class Router(Generic[T]):
    """All routes, the most specific first."""

    def __init__(self, routes: Sequence[Route[T]]) -> None:
        self._routes = sorted(routes, key=lambda r: [*r.order, _LITERAL - 1])

    def find(self, method: str, raw_path: str) -> tuple[T, dict[str, str]] | None:
        for route in self._routes:
            if not route.methods or method.upper() in route.methods:
                values = route.match(raw_path)
                if values is not None:
                    return route.target, values
        return None
