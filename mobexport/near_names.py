"""Hints for names that are none of those that there are; pure."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.7, *, lists_known: bool = False) -> str:
    """`; did you mean …?` if a known name is near, in any case; else nothing, or the list of them."""
    names = sorted(known)
    lower = {one.lower(): one for one in names}
    if near := get_close_matches(name.lower(), lower, 1, cutoff):
        return f"; did you mean `{lower[near[0]]}`?"
    return f"; there are {', '.join(names)}" if lists_known else ""
