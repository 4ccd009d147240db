"""The layout of raw data: which blobs are a kind's raw files, of which day, and why others are not read.

Without a mapping: `{app}/{kind}/{YYYY-MM-DD}/{any name}.ndjson|.ndjson.gz|.ndjson.zst|.parquet`, endings in
any case. Source: design section 3. Pure: names in, verdicts out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any, Final

from mobexport.blob_labels import README
from mobexport.contract import MAX_DAYS
from mobexport.near_names import did_you_mean
from mobexport.raw_mapping import RawMapping
from mobexport.records.raw_formats import UNMAPPED, Packing, split_ending, stored_as

USUAL: Final = "{app}/{kind}/{date:%Y-%m-%d}/**"
Days = tuple[date, date]
_TOKENS = re.compile(r"\{(?P<token>[^{}]*)\}|(?P<deep>\*\*)|(?P<star>\*)|(?P<text>[^{}*]+)")
_CODE = re.compile(r"%(-?)([YmdHMSQ])|[^%]+")
_DIGITS = re.compile(r"(\d{4})[-_.]?(\d{1,2})[-_.]?(\d{1,2})")
_HIVE = re.compile(r"([A-Za-z_][\w-]*)=(.*)")
_DIGITS_OF: Final = {"Y": r"\d{4}", "Q": r"\d{13}"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = 10
_LONG = 120


@dataclass(frozen=True)
class Found:
    """A blob that is a raw file."""

    day: date | None
    """The day of its folder; None where the pattern has none."""


@dataclass(frozen=True)
class Skip:
    """Something that is not read, and why; a task's counts, the log and `raw check` tell it."""

    name: str
    """A file, or a folder with `/` at its end; the first, where it stands for several."""
    reason: str
    files: int = 1
    """0: a folder that was not looked into."""

    def __str__(self) -> str:
        more = f" (and {self.files - 1} more)" if self.files > 1 else ""
        return f"`{self.name}`{more}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "reason": self.reason, "files": self.files}


HIDDEN: Final = "hidden or temporary: a name that begins with . or _ is no data"


def grouped(skips: Iterable[Skip]) -> tuple[Skip, ...]:
    """Files of one reason as one, by name; at most 10, with names cut to 120 characters."""
    found: dict[str, Skip] = {}
    others = 0
    for skip in sorted(skips, key=lambda one: one.name):
        key = skip.reason if skip.files else skip.name
        held = found.get(key)
        if held is None and len(found) == _SHOWN - 1:
            others += max(skip.files, 1)
        else:
            name = held.name if held else cut(skip.name)
            found[key] = Skip(name, skip.reason, (held.files if held else 0) + skip.files)
    rest = (Skip("…", "files and folders for other reasons", others),) if others else ()
    return (*found.values(), *rest)


def cut(name: str) -> str:
    """A name as it is told: a blob's may have 1,024 characters."""
    return name if len(name) <= _LONG else f"{name[: _LONG - 1]}…"


@dataclass(frozen=True)
class RawLayout:
    """Where the raw files of one kind of one app lie."""

    app: str
    kind: str
    mapping: RawMapping | None = None

    @property
    def pattern(self) -> str:
        """The pattern of the names."""
        return (self.mapping and self.mapping.path) or USUAL

    @property
    def is_usual(self) -> bool:
        """Whether no mapping says where they lie."""
        return self.pattern == USUAL

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders without which there is no file, the outer one first."""
        if self.is_usual:
            return f"{self.app}/", f"{self.app}/{self.kind}/"
        folder, slash, _ = self._prefix(None).rpartition("/")
        return (folder + slash,) if folder else ()

    def container(self, usual: str) -> str:
        """The container; `usual` is RAW_CONTAINER."""
        return (self.mapping and self.mapping.container) or usual

    def prefixes(self, days: Days | None) -> list[str]:
        """What the names of a window's files begin with; of all files for None."""
        if days is None or (days[1] - days[0]).days > MAX_DAYS + 62 or not self._has_day:
            # A window of instants from 0001 to 9999, say: one listing of all there is, not one for each day.
            return [self._prefix(None)]
        each = (date.fromordinal(day) for day in range(days[0].toordinal(), days[1].toordinal() + 1))
        return list(dict.fromkeys(map(self._prefix, each)))

    def judge(self, name: str) -> Found | Skip:
        """Whether that blob is one of the files."""
        if name == README:
            # A pattern that begins with a wildcard fits it, too.
            return Skip(name, HIDDEN)
        found = self._regex.fullmatch(name)
        if found is None:
            return Skip(name, HIDDEN if is_hidden(name.rpartition("/")[2]) else self._misplaced(name))
        spans = [found.span(group) for group in range(1, (self._regex.groups or 0) + 1)]
        at = 0
        for part in name.split("/"):
            if is_hidden(part) and any(first <= at < end for first, end in spans):
                return Skip(name, HIDDEN)
            at += len(part) + 1
        named = {code: int(text) for code, text in found.groupdict().items() if text is not None}
        day = None
        if _tells_day(named):
            try:
                day = _day_of(named)
            except (ValueError, OverflowError):
                return Skip(name, "its folder is no day of the calendar")
        return Found(day) if (reason := self._ending(name)) is None else Skip(name, reason)

    def _ending(self, name: str) -> str | None:
        ending, packing = split_ending(name)
        if self.mapping is not None:
            if stored_as(name, said=self.mapping.format):
                return None
            return "its ending says no format: set format in the mapping"
        if ending in UNMAPPED and (packing is Packing.NONE or ending != ".parquet"):
            return None
        return "needs a mapping or the ending `.ndjson`"

    def _misplaced(self, name: str) -> str:
        root = f"{self.app}/{self.kind}/"
        if not self.is_usual or not name.startswith(root):
            return f"does not fit the path {self.pattern}"
        folder, slash, _ = name.removeprefix(root).partition("/")
        if not slash:
            return f"lies in no folder of a day, such as `{self.kind}/2026-11-25/`"
        return day_folder_reason(folder) or HIDDEN

    @cached_property
    def _parts(self) -> list[tuple[str, str]]:
        """(kind, text) of the pattern's tokens: text, star, deep, date."""
        found = []
        for match in _TOKENS.finditer(self.pattern):
            kind, text = match.lastgroup or "", match[match.lastgroup or 0]
            if kind == "token":
                name, _, codes = text.partition(":")
                known = {"app": self.app, "kind": self.kind}
                kind, text = ("date", codes) if name == "date" else ("text", known[name])
            found.append((kind, text))
        return found

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        seen: set[str] = set()
        out = []
        for kind, text in self._parts:
            if kind != "date":
                out.append({"star": "([^/]*)", "deep": "(.*)"}.get(kind) or re.escape(text))
                continue
            for code in _CODE.finditer(text):
                if code[2] is None:
                    out.append(re.escape(code[0]))
                    continue
                digits = _DIGITS_OF.get(code[2]) or (r"\d{1,2}" if code[1] else r"\d{2}")
                out.append(f"(?P<{code[2]}>{digits})" if code[2] not in seen else digits)
                seen.add(code[2])
        return re.compile("".join(out), re.DOTALL | re.ASCII)

    @cached_property
    def _has_day(self) -> bool:
        return _tells_day(self._regex.groupindex)

    def _prefix(self, day: date | None) -> str:
        out = ""
        said: set[str] = set()
        for kind, text in self._parts:
            if kind == "text":
                out += text
                continue
            if kind != "date" or day is None:
                return out
            for code in _CODE.finditer(text):
                if code[2] is None:
                    out += code[0]
                elif code[2] in "YmdHMS"[:3]:
                    number = {"Y": day.year, "m": day.month, "d": day.day}[code[2]]
                    out += f"{number:04}" if code[2] == "Y" else f"{number}" if code[1] else f"{number:02}"
                    said.add(code[2])
                else:
                    return out
        return out


def _tells_day(codes: Collection[str]) -> bool:
    return "Q" in codes or {"Y", "m", "d"} <= set(codes)


def _day_of(named: Mapping[str, int]) -> date:
    if "Q" in named:
        return (_EPOCH + timedelta(milliseconds=named["Q"])).date()
    return date(named["Y"], named["m"], named["d"])


def is_hidden(part: str) -> bool:
    """Whether writers keep there what is not finished, or no data."""
    return part.startswith((".", "_"))


def day_folder_reason(folder: str) -> str | None:
    """Why a folder below a kind is not read; None for a day's, and for hidden ones."""
    if is_hidden(folder) or _is_day(folder):
        return None
    if hive := _HIVE.fullmatch(folder):
        key, value = hive[1], hive[2]
        codes = {"year": "%Y", "y": "%Y"}.get(key.lower())
        more = "/month={date:%m}/day={date:%d}" if key.lower() == "year" else "/m={date:%m}/d={date:%d}"
        path = f"{key}={{date:{codes}}}{more}" if codes else f"{key}={{date:{_codes(value)}}}"
        return f'needs a mapping with path = "{{app}}/{{kind}}/{path}/**"'
    if found := _DIGITS.fullmatch(folder):
        try:
            day = date(*map(int, found.groups()))
        except ValueError:
            return "is no day of the calendar"
        usual = f"did you mean `{day}`? Or a mapping"
        return f'is no day; {usual} with path = "{{app}}/{{kind}}/{{date:{_codes(folder)}}}/**"'
    if re.fullmatch(r"\d{4}", folder):
        return 'needs a mapping with path = "{app}/{kind}/{date:%Y/%m/%d}/**"'
    return "is no day such as `2026-11-25`: needs a mapping with a path"


def _codes(text: str) -> str:
    """The date codes that a text looks like."""
    found = _DIGITS.fullmatch(text)
    if not found:
        return "%Y-%m-%d"
    dash = "" if text.isdigit() else text[4]
    padded = len(text) == 8 + 2 * len(dash)
    return dash.join(("%Y", "%m", "%d") if padded else ("%Y", "%-m", "%-d"))


def _is_day(folder: str) -> bool:
    try:
        return str(date.fromisoformat(folder)) == folder
    except ValueError:
        return False


def kind_folder_reason(folder: str, kinds: Sequence[str]) -> str | None:
    """Why a folder below an app is not read; None for a kind's, and for hidden ones."""
    if folder in kinds or is_hidden(folder):
        return None
    return f"is no kind{did_you_mean(folder, kinds, lists_known=True)}"


def told(skips: Iterable[Skip]) -> Iterator[str]:
    """Lines for people, without what is hidden on purpose."""
    return (str(skip) for skip in skips if skip.reason != HIDDEN)
