"""JSON taken apart without changing it: the spans of members and items as they were written.

DuckDB writes JSON anew when it takes it apart (`1e3` becomes `1000.0`, `0.10` becomes `0.1`, `\\u00e9`
becomes `é`, digits beyond a double's are lost) and reads more than JSON (`NaN`, `[1,]`). It says by itself
where that would matter (`record_sql.PLAIN`); only those texts come here, as this is slower.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import NoReturn

_SPACE = re.compile(r"[ \t\n\r]*+")
LONG_TEXT = 256 * 1024
"""Longer texts go beside DuckDB: taking one apart costs it some 35 times its length in memory."""

_STRING_OR_SPACE = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+")|[ \t\n\r]++')
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_BACKSLASH = re.compile(r"\\\\")


class NotJson(ValueError):
    """The text is no JSON that every reader can read; `rule` says why."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


def members(text: str) -> dict[str, str] | None:
    """The members of an object: name to raw text, whitespace between tokens removed; None for other JSON.

    Of members with one name the last counts. Raises NotJson.
    """
    start = _skip(text, 0)
    if text[start : start + 1] != "{":
        _to_end(text, _scan(text, start)[1])
        return None
    found: dict[str, str] = {}
    at = _skip(text, start + 1)
    if text[at : at + 1] == "}":
        _to_end(text, at + 1)
        return found
    while True:
        if text[at : at + 1] != '"':
            raise NotJson("not-json")
        name, at = _scan(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise NotJson("not-json")
        value = _skip(text, at + 1)
        _, at = _scan(text, value)
        found[str(name)] = _minify(text[value:at])
        at = _skip(text, at)
        if text[at : at + 1] == "}":
            _to_end(text, at + 1)
            return found
        at = _next(text, at)


def items(text: str) -> list[str] | None:
    """The items of an array as raw texts, whitespace between tokens removed; None for other JSON.

    Raises NotJson.
    """
    start = _skip(text, 0)
    if text[start : start + 1] != "[":
        _to_end(text, _scan(text, start)[1])
        return None
    found: list[str] = []
    at = _skip(text, start + 1)
    if text[at : at + 1] == "]":
        _to_end(text, at + 1)
        return found
    while True:
        _, end = _scan(text, at)
        found.append(_minify(text[at:end]))
        at = _skip(text, end)
        if text[at : at + 1] == "]":
            _to_end(text, at + 1)
            return found
        at = _next(text, at)


def has_lone_surrogate(text: str) -> bool:
    """Whether a string has half of a surrogate pair as an escape, which has no place in UTF-8.

    Cut texts have them. Strict readers, DuckDB among them, refuse the whole text.
    """
    if not _SURROGATE.search(text):
        return False
    return _SURROGATE.search(_PAIR.sub("", _BACKSLASH.sub("", text))) is not None


def protect(values: Mapping[str, str], raw: Collection[str]) -> str:
    """An object of raw texts in which the members named in `raw` are strings that hold their raw text.

    So they come through DuckDB untouched. null stays null.
    """
    return (
        "{"
        + ",".join(
            json.dumps(name, ensure_ascii=False)
            + ":"
            + (json.dumps(text, ensure_ascii=False) if name in raw and text != "null" else text)
            for name, text in values.items()
        )
        + "}"
    )


def slim(
    values: Mapping[str, str], raw: Collection[str], others: Collection[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The values with a short stand-in for each long one, and the long ones of `raw` by name.

    `others`: names of the other fields that are read. Raises NotJson (`too-long:name`) where one of those is
    long: no id, name or time is. What is not read at all is dropped.
    """
    kept, long = dict(values), {}
    for name, text in values.items():
        if len(text) > LONG_TEXT:
            if name in others:
                raise NotJson(f"too-long:{name}")
            kept[name] = "0"
            if name in raw:
                long[name], kept[name] = text, stand_in(name, text)
    return kept, long


def stand_in(name: str, text: str) -> str:
    """Stands for a long text: no JSON text has its NUL, and checks of the first character see the same."""
    return f"{text[0]}\0{name}"


def shown(text: str) -> str:
    """A text as a reject shows it: a long one is cut, since its place is known."""
    return text if len(text) <= LONG_TEXT else f"{text[:1024]}… [cut: {len(text)} characters]"


def _refuse(_: str) -> NoReturn:
    raise ValueError


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


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _next(text: str, at: int) -> int:
    if text[at : at + 1] != ",":
        raise NotJson("not-json")
    return _skip(text, at + 1)


def _to_end(text: str, at: int) -> None:
    if _skip(text, at) != len(text):
        raise NotJson("not-json")


def _minify(text: str) -> str:
    return _STRING_OR_SPACE.sub(lambda found: found[1] or "", text)
