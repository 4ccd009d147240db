"""Gate for text and JSON that came from outside: bounded, valid Unicode, fit to be kept and shown; pure.

JSON is checked as a whole before anything reads it; a word (an id, a state) passes as it is or not at all;
prose (an error, a description) is made fit. Depth, digits and halves of surrogate pairs are what the
standard library takes, and what breaks tables, logs and answers later.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from mobexport.redact import redact

MAX_DEPTH: Final = 32
"""Objects and lists within each other."""
MAX_NUMBER: Final = 100
"""Characters of one number: Python's own limit for whole numbers is 4,300 digits, and an error beyond."""
MAX_WORD: Final = 200
"""Characters of an id."""
MAX_FILE_NAME: Final = 500
"""Characters; storage allows 1,024 with the folder in front."""
MAX_PROSE: Final = 1000
"""Characters of a text that is shown; a cell of a table holds 32,768."""

_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+=-]*")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# Controls, line ends, halves of surrogate pairs, what is no character, and what turns writing around.
_UNFIT: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)


class Unfit(Exception):
    """What does not pass: `place` (`value.0.id`, empty for the whole) and the rule that is broken."""

    def __init__(self, rule: str, place: str = "") -> None:
        super().__init__(f"{place} {rule}" if place else rule)
        self.rule = rule
        self.place = place


class NotJson(Unfit):
    """Not JSON at all, or cut off: a gateway's page, a broken connection."""


class _Number:
    """A number that was not read, until its place is known."""


def parse_json(data: bytes, most: int) -> Any:
    """The value of a JSON text in UTF-8 of at most so many bytes.

    Every text in it is valid Unicode, every number finite and of at most MAX_NUMBER characters. Raises
    NotJson, or Unfit with the place.
    """
    if len(data) > most:
        raise Unfit(f"is larger than {_size(most)}")
    try:
        found = json.loads(
            data.decode("utf-8-sig"), parse_int=_whole, parse_float=_real, parse_constant=lambda _: _Number()
        )
    except RecursionError:
        raise Unfit(f"is nested more than {MAX_DEPTH} deep") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise NotJson(f"is not JSON in UTF-8: {error.msg} ({place})") from None
    except ValueError:
        raise NotJson("is not JSON in UTF-8") from None
    _check(found)
    return found


def check_word(value: Any, place: str, most: int = MAX_WORD) -> str:
    """An id or a state as it came: letters, digits and `._:@+=-`, so that it holds no URL and is no path.

    Raises Unfit.
    """
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise Unfit("must be a text of letters, digits and ._:@+=-, the first one a letter or a digit", place)
    if len(value) > most:
        raise Unfit(f"is longer than {most} characters", place)
    if redact(value) != value:
        raise Unfit("holds a secret", place)
    return value


def check_file_name(name: str) -> None:
    """Passes a file's name, with folders, that a blob may have without harm: no controls, no odd path.

    Raises Unfit. Storage takes any character, and cannot list some of them again.
    """
    if _UNFIT.search(name):
        raise Unfit("has a control character, or what is no character")
    if len(name) > MAX_FILE_NAME:
        raise Unfit(f"is longer than {MAX_FILE_NAME} characters")
    if not all(part.strip(".") for part in name.split("/")):
        raise Unfit("has an empty part, or one of dots alone")


def prose(value: Any, most: int = MAX_PROSE) -> str:
    """Any value as one line of text for people, without secrets, controls and halves of pairs, cut."""
    text = _UNFIT.sub(" ", redact(value if isinstance(value, str) else str(value)))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _whole(text: str) -> Any:
    return int(text) if len(text) <= MAX_NUMBER else _Number()


def _real(text: str) -> Any:
    number = float(text) if len(text) <= MAX_NUMBER else math.inf
    return number if math.isfinite(number) else _Number()


_Path = tuple[Any, str | int] | None


def _check(value: Any) -> None:
    left: list[tuple[Any, _Path, int]] = [(value, None, 1)]
    while left:
        item, path, depth = left.pop()
        if isinstance(item, str):
            if _SURROGATE.search(item):
                raise Unfit("must be Unicode text, without halves of surrogate pairs", _place(path))
        elif isinstance(item, _Number):
            raise Unfit(f"must be a number of at most {MAX_NUMBER} characters", _place(path))
        elif isinstance(item, dict | list):
            if depth > MAX_DEPTH:
                raise Unfit(f"is nested more than {MAX_DEPTH} deep", _place(path))
            if isinstance(item, list):
                left += [(one, (path, number), depth + 1) for number, one in enumerate(item)]
                continue
            for name, one in item.items():
                if _SURROGATE.search(name):
                    raise Unfit("must have names without halves of surrogate pairs", _place(path))
                left.append((one, (path, name), depth + 1))


def _place(path: _Path) -> str:
    """`value.0.id`; of a deep one the beginning."""
    parts: list[str] = []
    while path is not None:
        path, step = path
        parts.append(prose(str(step), 40))
    return ".".join(parts[::-1][:5])


def _size(number: int) -> str:
    units = ((1024 * 1024, "MiB"), (1024, "KiB"))
    return next((f"{number // size} {unit}" for size, unit in units if number % size == 0), f"{number} bytes")
