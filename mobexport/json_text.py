"""JSON taken apart without changing it: the spans of members and items as they were written.

DuckDB writes JSON anew when it takes it apart (`1e3` becomes `1000.0`, `0.10` becomes `0.1`, `\\u00e9`
becomes `é`, digits beyond a double's are lost) and reads more than JSON (`NaN`, `[1,]`). It says by itself
where that would matter (`record_sql.plain`); only those texts come here, as this is slower.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import NoReturn

LONG_TEXT = 256 * 1024
"""Longer texts go beside DuckDB: taking one apart costs it some 35 times its length in memory."""

_SHOWN = 1024
_SPACE = re.compile(r"[ \t\n\r]*+")
_STRING = r'"[^"\\\x00-\x1f]*+"'
_NUMBER = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
# A name without escapes, and its value if that is a simple one: most members are read by one match.
_MEMBER = re.compile(
    rf"[ \t\n\r]*+({_STRING})[ \t\n\r]*+:[ \t\n\r]*+"
    rf"(?:({_STRING}|{_NUMBER}|true|false|null)[ \t\n\r]*+(?=[,}}]))?"
)
_STRING_OR_NO_SPACE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^" \t\n\r]++')
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_BACKSLASH = re.compile(r"\\\\")


class NotJson(ValueError):
    """The text is no JSON that every reader can read; `rule` says why."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


def members(text: str) -> dict[str, str] | None:
    """The members of an object: name to the text of the value as it stands; None for other JSON.

    Of members with one name the last counts. Raises NotJson.
    """
    at = _skip(text, 0)
    if not text.startswith("{", at):
        _to_end(text, _scan(text, at)[1])
        return None
    found: dict[str, str] = {}
    at = _skip(text, at + 1)
    if text.startswith("}", at):
        _to_end(text, at + 1)
        return found
    while True:
        simple = _MEMBER.match(text, at)
        if simple:
            name, value, at = simple[1][1:-1], simple[2], simple.end()
        else:
            name, at = _name(text, at)
            value = None
        if value is None:
            start = at
            at = _scan(text, start)[1]
            value = text[start:at]
            at = _skip(text, at)
        found[name] = value
        if text.startswith("}", at):
            _to_end(text, at + 1)
            return found
        at = _next(text, at)


def items(text: str) -> list[str] | None:
    """The items of an array as they stand; None for other JSON. Raises NotJson."""
    at = _skip(text, 0)
    if not text.startswith("[", at):
        _to_end(text, _scan(text, at)[1])
        return None
    found: list[str] = []
    at = _skip(text, at + 1)
    if text.startswith("]", at):
        _to_end(text, at + 1)
        return found
    while True:
        start = at
        at = _scan(text, start)[1]
        found.append(text[start:at])
        at = _skip(text, at)
        if text.startswith("]", at):
            _to_end(text, at + 1)
            return found
        at = _next(text, at)


def minified(text: str) -> str:
    """The JSON text without the whitespace between its tokens."""
    return "".join(_STRING_OR_NO_SPACE.findall(text))


def has_lone_surrogate(text: str) -> bool:
    """Whether a string has half of a surrogate pair as an escape, which has no place in UTF-8.

    Cut texts have them. Strict readers, DuckDB among them, refuse the whole text.
    """
    if not _SURROGATE.search(text):
        return False
    return _SURROGATE.search(_PAIR.sub("", _BACKSLASH.sub("", text))) is not None


def protect(
    values: Mapping[str, str], raw: Collection[str], others: Collection[str]
) -> tuple[str, dict[str, str]]:
    """An object of those values in which the ones named in `raw` come through DuckDB untouched.

    They are strings that hold their minified text; null stays null. Of long ones only a `stand_in` is put
    there, and they are given by name beside the object. `others`: names of the other fields that are read;
    NotJson (`too-long:name`) if one is long, as no id, name or time is. What is not read is not copied.
    """
    pairs, long = [], {}
    for name, text in values.items():
        written = text
        if name in raw:
            if text != "null":
                value = minified(text)
                if len(value) > LONG_TEXT:
                    long[name] = value
                    value = stand_in(name, value)
                written = quote(value)
        elif name not in others:
            written = "0"
        elif len(text) > LONG_TEXT:
            raise NotJson(f"too-long:{name}")
        pairs.append(f"{quote(name)}:{written}")
    return "{" + ",".join(pairs) + "}", long


def stand_in(name: str, text: str) -> str:
    """Stands for a long text: no JSON text has its NUL, and checks of the first character see the same."""
    return f"{text[0]}\0{name}"


def shown(text: str) -> str:
    """A text as a reject shows it: a long one is cut, since its place is known."""
    return text if len(text) <= LONG_TEXT else f"{text[:_SHOWN]}… [cut: {len(text)} characters]"


def _refuse(_: str) -> NoReturn:
    raise ValueError


quote = json.JSONEncoder(ensure_ascii=False).encode
"""A value as JSON."""

# Numbers are only skipped: Python refuses to read integers of more than 4,300 digits.
_decoder = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=_refuse)


def _scan(text: str, at: int) -> tuple[object, int]:
    """The value that starts at `at`, numbers aside, and its end."""
    try:
        return _decoder.raw_decode(text, at)
    except RecursionError:
        raise NotJson("too-deep") from None
    except ValueError:
        raise NotJson("not-json") from None


def _name(text: str, at: int) -> tuple[str, int]:
    """A member's name that has escapes, and where its value starts."""
    if not text.startswith('"', at):
        raise NotJson("not-json")
    name, at = _scan(text, at)
    at = _skip(text, at)
    if not text.startswith(":", at):
        raise NotJson("not-json")
    return str(name), _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _next(text: str, at: int) -> int:
    if not text.startswith(",", at):
        raise NotJson("not-json")
    return _skip(text, at + 1)


def _to_end(text: str, at: int) -> None:
    if _skip(text, at) != len(text):
        raise NotJson("not-json")
