"""Paths of fields in raw records, as mappings write them: `a.b`, `a\\.b`, `list[key]`, `list[0].x`; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

# The decoder's structs have no names with backslashes, quotes or control characters.
_MEMBER: Final = r'(?:\\[.\[\]]|[^.\[\]\\"\x00-\x1f])+'
_PATH: Final = re.compile(rf"({_MEMBER}(?:\.{_MEMBER})*)((?:\[[^\]]+\]|\.{_MEMBER})*)", re.DOTALL)
_NAMES: Final = re.compile(_MEMBER, re.DOTALL)
_STEP: Final = re.compile(rf"\[([^\]]+)\]|\.({_MEMBER})", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL: Final = re.compile(r"[.\[\]]")


@dataclass(frozen=True)
class FieldPath:
    """A path: members of objects, and what follows the first list."""

    members: tuple[str, ...]
    steps: tuple[tuple[str, bool], ...] = ()
    """(key, whether it stands in brackets) from the first bracket on."""


@lru_cache(maxsize=1024)
def parse_path(text: str) -> FieldPath:
    """The path that a text says. Raises ValueError."""
    found = _PATH.fullmatch(text)
    if found is None:
        raise ValueError(
            r"path: members with dots between, as context.device.id; a dot within a name is written \., and"
            " quotes, backslashes and control characters cannot stand in one"
        )
    members = tuple(map(_plain, _NAMES.findall(found[1])))
    steps = tuple((key, True) if key else (_plain(name), False) for key, name in _STEP.findall(found[2]))
    return FieldPath(members, steps)


def is_path(text: str) -> bool:
    """Whether that is a path."""
    return _PATH.fullmatch(text) is not None


def escape_member(name: str) -> str:
    """A member's name as it stands in a path, if it can."""
    return _SPECIAL.sub(r"\\\g<0>", name)


def _plain(name: str) -> str:
    return _ESCAPED.sub(r"\1", name)
