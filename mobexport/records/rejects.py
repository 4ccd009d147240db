"""Write rejects files: NDJSON, a line for each record that cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

from mobexport.records import json_text
from mobexport.records.checks import Fault
from mobexport.records.json_text import quote


class RejectsFile:
    """A file of rejects in their order, made with the first, and how many there are for each reason."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rules: Counter[str] = Counter()
        """By `rule`, or `rule:field`."""
        self._out: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._out:
            self._out.close()

    @property
    def count(self) -> int:
        """How many there are."""
        return self.rules.total()

    def take(self, place: Mapping[str, Any], fault: Fault, original: bytes) -> None:
        """Appends a reject."""
        if self._out is None:
            self._out = self._path.open("wb")
        self.rules[str(fault)] += 1
        self._out.write(reject_line(place, fault, original))


def reject_line(place: Mapping[str, Any], fault: Fault, original: bytes) -> bytes:
    """A line of a rejects file: the place, the rule, the field where one is at fault, the original."""
    at_fault = {"field": fault.field} if fault.field else {}
    line = {**place, "rule": str(fault.rule), **at_fault, "original": json_text.shown(original)}
    return quote(line) + b"\n"
