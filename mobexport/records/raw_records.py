"""Reads raw records: blocks of lines become typed records, rejects and counts.

Fast path: msgspec decodes all lines of a block, and a few looks over all records at once tell which of them
may be at fault. Slow path: those, and lines that do not decode, are judged one by one (`checks`). So nothing
depends on a record's neighbours. Names that nobody declared are learned, and then found as fast as others.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, repeat
from operator import attrgetter, itemgetter
from typing import Any, Final

import msgspec
import pyarrow as pa

from mobexport.export_types.model import ExportType, Field, FieldKind
from mobexport.records import json_text, times
from mobexport.records.checks import MAX_TEXT, Fault, Rule, Rules, is_blank, is_utf8
from mobexport.records.lines import MARK, LineBlock
from mobexport.records.structs import ABSENT, attribute, raw_struct

Reject = Callable[[int, Fault, bytes], None]
"""What takes a reject: the line's number, what is wrong, the line."""
LONG_NAME: Final = 64
OTHER_NAMES: Final = "*"
_NAMES_KEPT = 10_000
_LEARNED = 24
_HOPELESS = 100  # parts of a line, none of which can be used
_MANY = 0.1  # of a block's lines, judged one by one
_PLAIN = re.compile(r"""[^"\\\x00-\x1f]+""")
_DEEP = 2 * json_text.MAX_DEPTH
_SPACES = (b" ", b"\t", b"\r", b"\n")
_FAILS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


@dataclass
class Rows:
    """Usable records of one file, in their order."""

    records: list[Any]
    """Structs; times are canonical, null members absent, JSON minified."""
    instants: dict[str, pa.Array]
    """For each time, its instants; null where it is absent."""


class RawReader:
    """Reads raw records of one type."""

    def __init__(self, export_type: ExportType) -> None:
        self._type = export_type
        self._rules = Rules.of_raw(export_type)
        self._times = [field for field in export_type.fields if field.kind is FieldKind.TIME]
        self._containers = [field.name for field in export_type.fields if field.members]
        self._learned: dict[str, list[str]] = {name: [] for name in ("", *self._containers)}
        """Names that nobody declared, by the object that has them (`""`: the record)."""
        self._is_wide = False
        """Whether there are too many of them to be learned."""
        self._decode = self._decoder()
        self.read = 0
        self.names = Names()

    def block(self, block: LineBlock, reject: Reject) -> Rows:
        """The usable records of a block of lines; `reject` gets the others, blank lines are none."""
        lines = block.lines
        rejects: list[tuple[int, Fault, bytes]] = []
        records, places, judged = self._fast(block, rejects)
        suspects, instants = self._look(records, is_deep=block.longest > _DEEP)
        if suspects:
            good = [True] * len(records)
            for at in sorted(suspects):
                place = places[at]
                if place in judged:
                    continue
                try:
                    records[at] = self._judged(_text(lines[place]))
                    judged.add(place)
                except Fault as fault:
                    good[at] = False
                    rejects.append(
                        (block.first_line + place, fault.with_traceback(None), _text(lines[place]))
                    )
            if not all(good):
                records = list(compress(records, good))
                places = list(compress(places, good))
                mask = pa.array(good)
                instants = {name: array.filter(mask) for name, array in instants.items()}
        if self._is_wide:
            self.names.add(self._names_of(lines[place] for place in places if place not in judged))
        else:
            self._count(records)
        rejects.sort(key=itemgetter(0))
        for one in rejects:
            reject(*one)
        self.read += len(records) + len(rejects)
        return Rows(records, instants)

    # --- fast path ----------------------------------------------------------------------------------------

    def _fast(
        self, block: LineBlock, rejects: list[tuple[int, Fault, bytes]]
    ) -> tuple[list[Any], Sequence[int], set[int]]:
        """Records, the places of their lines in the block, and those that were judged one by one."""
        lines = self._sound(block)
        records: list[Any] = []
        places: list[int] = []
        judged: set[int] = set()
        following, done = iter(lines), 0
        while True:
            before = len(records)
            try:
                records.extend(map(self._decode, following))
                break
            except _FAILS:
                at = done + len(records) - before
                places.extend(range(done, at))
                found = self._slow(block, at, rejects)
                records += found
                places += [at] * len(found)
                judged.add(at)
                done = at + 1
        if not judged:
            return records, range(len(records)), judged
        places.extend(range(done, len(lines)))
        if sum(map(len, self._learned.values())) >= _LEARNED and len(judged) > _MANY * len(lines):
            self._is_wide = True
            self._learned = {container: [] for container in self._learned}
            self._decode = self._decoder()
        return records, places, judged

    def _decoder(self) -> Callable[[bytes], Any]:
        struct = raw_struct(self._type, self._learned, closed=not self._is_wide)
        return msgspec.json.Decoder(struct).decode

    def _sound(self, block: LineBlock) -> Sequence[bytes]:
        """The lines; those that a decoder would not look at closely enough are empty, so that they fail."""
        # What is declared is decoded, or looked at as JSON that passes through; what is not is passed over.
        is_closed = not self._is_wide and not any(self._learned.values())
        if block.longest <= MAX_TEXT and (is_closed or is_utf8(b"\n".join(block.lines))):
            return block.lines
        return [line if len(line) <= MAX_TEXT and is_utf8(line) else b"" for line in block.lines]

    def _look(self, records: list[Any], *, is_deep: bool) -> tuple[set[int], dict[str, pa.Array]]:
        """The places of records that may be at fault, and the instants of their times.

        Times become canonical, nulls absent, and JSON that passes through is minified.
        """
        suspects: set[int] = set()
        instants: dict[str, pa.Array] = {}
        for field in self._type.fields:
            if field.members:
                continue
            own = attribute(field.name)
            if field.kind is FieldKind.TIME:
                texts = list(map(attrgetter(own), records))
                found = times.usual_instants(pa.array(texts, pa.string()))
                if found is None:
                    found, bad = times.instants(texts)
                    suspects.update(bad)
                    deque(map(setattr, records, repeat(own), texts), maxlen=0)
                instants[field.name] = found
            elif field.is_raw_json:
                changed, bad = look_at_json(list(map(attrgetter(own), records)), field, is_deep=is_deep)
                suspects.update(bad)
                for at, value in changed.items():
                    setattr(records[at], own, value)
            elif field.required and field.kind in (FieldKind.ID, FieldKind.TEXT) and not field.choices:
                # What is blank begins with a space or a control character, if with anything.
                name_of = attrgetter(own)
                if min(map(name_of, records), default="!") < "!":
                    suspects.update(at for at, name in enumerate(map(name_of, records)) if is_blank(name))
        return suspects, instants

    # --- slow path ----------------------------------------------------------------------------------------

    def _slow(self, block: LineBlock, place: int, rejects: list[tuple[int, Fault, bytes]]) -> list[Any]:
        """The usable records of a line that did not decode: one, none, or several of a line of many."""
        text = _text(block.lines[place])
        number = block.first_line + place
        if place in block.too_long:
            rejects.append((number, Fault(Rule.TOO_LONG), block.too_long[place].encode()))
            return []
        if not text.strip(b" \t\r"):
            return []
        try:
            return [self._judged(text)]
        except Fault as fault:
            first = fault.with_traceback(None)
        found: list[Any] = []
        faults: list[tuple[Fault, bytes]] = []
        for part in json_text.joined_objects(text) if first.rule is Rule.NOT_JSON else ():
            if len(faults) == _HOPELESS and not found:
                break
            try:
                found.append(self._judged(part))
            except Fault as fault:
                faults.append((fault.with_traceback(None), part))
        rejects += [(number, fault, part) for fault, part in (faults if found else [(first, text)])]
        return found

    def _judged(self, text: bytes) -> Any:
        """The record that a text says. Raises Fault."""
        judged = self._rules.judge(text)
        self.names.add(f"{container}.{name}" if container else name for container, name in judged.unknown)
        if not self._is_wide and self._learn(judged.unknown):
            self._decode = self._decoder()
        return self._decode(judged.text)

    # --- names that nobody declared -----------------------------------------------------------------------

    def _learn(self, unknown: Iterable[tuple[str, str]]) -> bool:
        """Whether any of the names was learned just now."""
        before = room = _LEARNED - sum(map(len, self._learned.values()))
        for container, name in unknown:
            known = self._learned[container]
            if room > 0 and name not in known and len(name) <= LONG_NAME and _PLAIN.fullmatch(name):
                known.append(name)
                room -= 1
        return room < before

    def _count(self, records: list[Any]) -> None:
        """Counts the learned names in records, and takes them out."""
        for container, names in self._learned.items():
            objects = records
            if container and names:
                inner = attribute(container)
                objects = [one for record in records if (one := getattr(record, inner)) is not None]
            for number, name in enumerate(names):
                own = f"unknown_{number}"
                # Records from before the name was learned have no such attribute.
                having = [one for one in objects if getattr(one, own, ABSENT) is not ABSENT]
                self.names.add([f"{container}.{name}" if container else name], len(having))
                for one in having:
                    setattr(one, own, ABSENT)

    def _names_of(self, lines: Iterable[bytes]) -> Iterator[str]:
        """The names that nobody declared in lines that hold a record each."""
        declared = {field.name for field in self._type.fields}
        members = {
            field.name: {member.name for member in field.members}
            for field in self._type.fields
            if field.members
        }
        for line in lines:
            found = json_text.raw_members(line)
            yield from found.keys() - declared
            for container in members.keys() & found.keys():
                if bytes(found[container]) != b"null":
                    inner = json_text.raw_members(found[container]).keys() - members[container]
                    yield from (f"{container}.{name}" for name in inner)


class Names:
    """How many usable records have each name that nobody declared; long names are cut."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()

    def add(self, names: Iterable[str], count: int = 1) -> None:
        """Adds records that have each of those names; beyond 10,000 different ones under `*`."""
        if not count:
            return
        for name in names:
            shown = name if len(name) <= LONG_NAME else f"{name[:LONG_NAME]}…"
            if shown not in self._found and len(self._found) >= _NAMES_KEPT:
                shown = OTHER_NAMES
            self._found[shown] += count

    def merge(self, other: Names | Mapping[str, int]) -> None:
        """Adds those of another part."""
        for name, count in (other.counts if isinstance(other, Names) else other).items():
            self.add([name], count)

    @property
    def counts(self) -> Mapping[str, int]:
        """The counts by name."""
        return self._found


def look_at_json(
    values: Sequence[msgspec.Raw], field: Field, *, is_deep: bool
) -> tuple[dict[int, msgspec.Raw], list[int]]:
    """What JSON values become (nulls absent, others minified), and the places of those that may be at fault.

    Both by place. An object is at fault if it is none, any value if it is no UTF-8, and any value if it
    nests too deep, where `is_deep` says that some may.
    """
    changed: dict[int, msgspec.Raw] = {}
    joined = b"\0%b\0" % b"\0".join(values)
    there = len(values) - values.count(ABSENT)
    bad: list[int] = []
    if field.kind is FieldKind.OBJECT and joined.count(b"\0{") != there:
        bad = [at for at, value in enumerate(values) if len(value) and bytes(value)[:1] != b"{"]
    if b"\0null\0" in joined:
        changed = {
            at: ABSENT for at, value in enumerate(values) if len(value) == 4 and bytes(value) == b"null"
        }
        bad = [at for at in bad if at not in changed]
    if is_deep:
        bad += [
            at
            for at, value in enumerate(values)
            if len(value) > _DEEP and json_text.is_too_deep(bytes(value))
        ]
    if not is_utf8(joined):
        bad += [at for at, value in enumerate(values) if not is_utf8(bytes(value))]
    if any(space in joined for space in _SPACES):
        # All of them at once, as one list.
        if there == len(values):
            text = b"[%b]" % joined[1:-1].replace(b"\0", b",")
        else:
            text = b"[%b]" % b",".join([value for value in values if len(value)])
        if bad or len(json_text.minified(text)) != len(text):
            spared = {*bad, *changed}
            for at, value in enumerate(values):
                if len(value) and at not in spared:
                    changed[at] = msgspec.Raw(json_text.minified(bytes(value)))
    return changed, bad


def _text(line: bytes) -> bytes:
    return line.removeprefix(MARK).removesuffix(b"\r")
