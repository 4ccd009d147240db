"""Binding expressions such as `in/{name}.{ext}`: read, matched against a name, filled with values.

Sources: BindingTemplateParser, BindingTemplateToken and SystemBindingData of the WebJobs SDK.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from azure.functions.meta import Datum

from devhost.errors import IndexingError

_TOKEN = re.compile(r"(?P<escape>\{\{|\}\})|\{(?P<name>[^{}]*)\}|(?P<literal>[^{}]+)|(?P<unbalanced>[{}])")
_NAME = re.compile(r"[^\W\d][\w.\-]*")
_BUILT_IN = ("rand-guid", "datetime")
_DATE_PARTS = (
    ("yyyy", "%Y"),
    ("yy", "%y"),
    ("MM", "%m"),
    ("dd", "%d"),
    ("HH", "%H"),
    ("mm", "%M"),
    ("ss", "%S"),
)
_GUID_FORMS = {"": "{}", "D": "{}", "N": "{}", "B": "{{{}}}", "P": "({})"}


@dataclass(frozen=True)
class Expression:
    """`name[.property…][:format]` between braces."""

    path: tuple[str, ...]
    form: str = ""


@dataclass(frozen=True)
class Template:
    """`pieces` are literal text or an Expression."""

    text: str
    pieces: tuple[str | Expression, ...]

    @property
    def prefix(self) -> str:
        """The literal start."""
        first = self.pieces[0] if self.pieces else ""
        return first if isinstance(first, str) else ""

    @property
    def has_names(self) -> bool:
        return any(isinstance(piece, Expression) for piece in self.pieces)

    def pattern(self) -> re.Pattern[str]:
        """What the template matches: one greedy group for each expression, in order.

        Raises IndexingError for an expression with a dot, which only filling understands.
        """
        found = ""
        for piece in self.pieces:
            if isinstance(piece, Expression) and len(piece.path) != 1:
                raise IndexingError("Capture expressions can't include dot operators")
            found += re.escape(piece) if isinstance(piece, str) else "(.*)"
        return re.compile(found, re.DOTALL)

    def names(self) -> list[str]:
        return [piece.path[0] for piece in self.pieces if isinstance(piece, Expression)]

    def fill(self, values: Mapping[str, Any]) -> str:
        """`values` by name, whatever its case. Raises ValueError for a name without a value."""
        return "".join(p if isinstance(p, str) else _evaluate(p, values) for p in self.pieces)


def parse_template(text: str) -> Template:
    """`{{` and `}}` are braces. Raises IndexingError."""
    pieces: list[str | Expression] = []
    for token in _TOKEN.finditer(text):
        if token["unbalanced"]:
            which = "closing" if token["unbalanced"] == "{" else "opening"
            raise IndexingError(
                f"Invalid template '{text}'. Missing {which} bracket at position {token.start() + 1}."
            )
        piece = _expression(text, token) if token["name"] is not None else token["literal"] or token[0][0]
        if isinstance(piece, str) and pieces and isinstance(pieces[-1], str):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return Template(text, tuple(pieces))


def _expression(text: str, token: re.Match[str]) -> Expression:
    name, _, form = token["name"].partition(":")
    if not token["name"]:
        raise IndexingError(
            f"Invalid template '{text}'. The parameter name at position {token.start() + 1} is empty."
        )
    if name.lower() in _BUILT_IN:
        return Expression((name,), form)
    if not _NAME.fullmatch(name) or "" in name.split("."):
        raise IndexingError(f"Invalid template '{text}'. Invalid template expression '{name}")
    if "-" in name.split(".")[0]:
        raise IndexingError(f"Invalid template '{text}'. The parameter name '{name}' is invalid.")
    return Expression(tuple(name.split(".")), form)


def _evaluate(expression: Expression, values: Mapping[str, Any]) -> str:
    name = expression.path[0]
    folded = {key.lower(): value for key, value in values.items()}
    if name.lower() in folded:
        return _text(_follow(folded[name.lower()], expression.path[1:]), expression.form)
    if name.lower() == "rand-guid" or (
        name.lower() == "sys" and expression.path[1:] and expression.path[1].lower() == "randguid"
    ):
        return _guid(expression.form)
    if name.lower() == "datetime" or (
        name.lower() == "sys" and expression.path[1:] and expression.path[1].lower() == "utcnow"
    ):
        return _text(datetime.now(UTC), expression.form)
    raise ValueError(f"No value for named parameter '{name}'.")


def _follow(value: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        folded = {key.lower(): inner for key, inner in value.items()} if isinstance(value, dict) else {}
        if part.lower() not in folded:
            raise ValueError(f"Error while accessing '{part}': property doesn't exist.")
        value = folded[part.lower()]
    return value


def _text(value: Any, form: str) -> str:
    if isinstance(value, datetime):
        if not form:
            return value.strftime("%Y-%m-%dT%H-%M-%SZ")
        # In two steps, since what one replacement writes another might read.
        for position, (part, _) in enumerate(_DATE_PARTS):
            form = form.replace(part, f"\0{position}\0")
        for position, (_, directive) in enumerate(_DATE_PARTS):
            form = form.replace(f"\0{position}\0", value.strftime(directive))
        return form
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _guid(form: str) -> str:
    made = uuid.uuid4()
    shape = _GUID_FORMS.get(form.upper())
    if shape is None:
        raise ValueError(f"'{form}' is no format of {{rand-guid}}: N, D, B or P")
    return shape.format(made.hex if form.upper() == "N" else made)


def binding_data(value: Datum, metadata: Mapping[str, Datum]) -> dict[str, Any]:
    """What expressions of a function's other bindings may name, from its trigger's value and metadata."""
    data: dict[str, Any] = {}
    if value.type == "http":
        request = value.value
        data |= _object(request["body"].value)
        data |= {name: item.value for kind in ("query", "params") for name, item in request[kind].items()}
        data |= {"Query": {name: item.value for name, item in request["query"].items()}}
        data |= {"Headers": {name: item.value for name, item in request["headers"].items()}}
    elif value.type in ("string", "json"):
        data |= _object(value.value)
    for name, item in metadata.items():
        data[name] = json.loads(item.value) if item.type == "json" else item.value
    return data


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
