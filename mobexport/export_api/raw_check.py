"""Look at raw data before anything is exported: what is there, what is not read, what would be rejected.

Records are read as exports read them, the first ones of each file; nothing is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import date
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from mobexport.config import APP_NAME, ExportsConfig
from mobexport.errors import MobexportError, RequestError
from mobexport.export_api.raw_folder import RawFolder
from mobexport.export_api.raw_suggestions import Suggestion, sample_of, suggest
from mobexport.export_api.writer.export_file import local_copy
from mobexport.export_api.writer.raw_layout import (
    HIDDEN,
    RawLayout,
    Skip,
    cut,
    grouped,
    is_hidden,
)
from mobexport.export_api.writer.raw_store import RawInput, RawListing, find_files, unread_kinds
from mobexport.export_types.model import ExportType
from mobexport.near_names import did_you_mean
from mobexport.raw_mapping import RawMapping, declared_kinds
from mobexport.records import json_text
from mobexport.records.checks import Fault
from mobexport.records.lines import LineBlock
from mobexport.records.parquet_rows import row_blocks
from mobexport.records.raw_files import record_blocks
from mobexport.records.raw_formats import RawFormat, stored_as
from mobexport.records.raw_records import RawReader
from mobexport.settings import Settings
from mobexport.storage import RawBlob

RECORDS: Final = 10_000
"""Records that are read of each file."""
_SHOWN = 5
_WIDTH = 160


class RawSource(RawListing, Protocol):
    """A container, or a folder, with raw data."""

    def read_chunks(self, container: str, blob: RawBlob, /, first: int = 0) -> Iterator[bytes]:
        """The bytes of a blob, from `first` on."""


@dataclass(frozen=True)
class BadRecord:
    """A record that an export would reject."""

    file: str
    line: int
    rule: str
    """`rule`, or `rule:field`."""
    original: str

    def __str__(self) -> str:
        return f"{self.file}, record {self.line}: {self.rule}: {self.original}"


@dataclass
class KindReport:
    """What was found of one kind of one app."""

    kind: str
    files: int = 0
    size: int = 0
    read: int = 0
    """Records that were read."""
    is_sampled: bool = False
    """Whether files have more."""
    passed_over: int = 0
    """Records that `where` of the mapping leaves out."""
    days: Counter[date] = field(default_factory=Counter)
    """Usable records by the day of their time, in UTC."""
    rules: Counter[str] = field(default_factory=Counter)
    bad: list[BadRecord] = field(default_factory=list)
    undeclared: Mapping[str, int] = field(default_factory=dict)
    beyond: Counter[int] = field(default_factory=Counter)
    """Records that lie further from their folder's day than is looked, by the days between."""
    slack_days: int = 0
    faults: list[str] = field(default_factory=list)
    """Files that cannot be read, and why."""
    suggestion: Suggestion | None = None

    @property
    def rejected(self) -> int:
        """Records that an export would reject."""
        return self.rules.total()


@dataclass
class AppReport:
    """What was found of one app."""

    app: str
    kinds: list[KindReport]
    skipped: tuple[Skip, ...]

    @property
    def has_problems(self) -> bool:
        """Whether an export would leave something out."""
        unread = any(skip.reason != HIDDEN for skip in self.skipped)
        empty = not any(kind.read for kind in self.kinds)
        return unread or empty or any(kind.rejected or kind.faults or kind.beyond for kind in self.kinds)


@dataclass
class RawReport:
    """What was found of all apps."""

    apps: list[AppReport]
    notes: list[str]

    @property
    def has_problems(self) -> bool:
        """Whether an export would leave something out, or there is none to make."""
        return bool(self.notes) or not self.apps or any(app.has_problems for app in self.apps)

    def to_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "problems": self.has_problems,
            "notes": self.notes,
            "apps": [
                {
                    "app": app.app,
                    "problems": app.has_problems,
                    "kinds": [_kind_json(app.app, kind) for kind in app.kinds],
                    "notRead": [skip.to_json() for skip in app.skipped],
                }
                for app in self.apps
            ],
        }

    def lines(self) -> Iterator[str]:
        """The report for people."""
        yield from self.notes
        for app in self.apps:
            yield f"{app.app}"
            for kind in app.kinds:
                yield from _kind_lines(kind)
            if app.skipped:
                yield "  not read:"
                yield from (f"    {skip}" for skip in app.skipped)
            for kind in app.kinds:
                if kind.suggestion:
                    yield f"  suggested for {kind.kind}, in exports.toml:"
                    yield from (f"    {line}" for line in kind.suggestion.lines(app.app, kind.kind))
        if not self.apps and not self.notes:
            yield "there is no raw data: {app}/{kind}/{YYYY-MM-DD}/{any name}.ndjson is where it belongs"


def _kind_json(app: str, kind: KindReport) -> dict[str, Any]:
    return {
        "kind": kind.kind,
        "files": kind.files,
        "bytes": kind.size,
        "records": kind.read,
        "sampled": kind.is_sampled,
        "leftOutByWhere": kind.passed_over,
        "days": {day.isoformat(): kind.days[day] for day in sorted(kind.days)},
        "rejected": kind.rejected,
        "rules": dict(kind.rules),
        "rejects": [asdict(record) for record in kind.bad],
        "undeclared": dict(kind.undeclared),
        "tooFarFromItsDay": {str(days): count for days, count in sorted(kind.beyond.items())},
        "faults": kind.faults,
        "suggestion": list(kind.suggestion.lines(app, kind.kind)) if kind.suggestion else [],
    }


def _kind_lines(kind: KindReport) -> Iterator[str]:
    sampled = " (the first ones of each file)" if kind.is_sampled else ""
    yield f"  {kind.kind}: {kind.files:,} files, {kind.size:,} bytes, {kind.read:,} records read{sampled}"
    if kind.days:
        days = sorted(kind.days)
        shown = ", ".join(f"{day} {kind.days[day]:,}" for day in days[:_SHOWN])
        rest = f", … {days[-1]} {kind.days[days[-1]]:,} ({len(days)} days)" if len(days) > _SHOWN else ""
        yield f"    by day: {shown}{rest}"
    if kind.passed_over:
        yield f"    left out by where: {kind.passed_over:,}"
    for rule, count in kind.rules.most_common():
        yield f"    rejected: {rule}  {count:,}"
    for record in kind.bad:
        yield f"      {record}"
    if kind.undeclared:
        shown = ", ".join(f"{name} {count:,}" for name, count in list(kind.undeclared.items())[:_SHOWN])
        more = len(kind.undeclared) - _SHOWN
        yield f"    undeclared, left out: {shown}{f' and {more} more' if more > 0 else ''}"
    if kind.beyond:
        yield (
            f"    filed too far from its day: {kind.beyond.total():,} records, up to {max(kind.beyond)} days;"
            f" exports look {kind.slack_days}: raise RAW_SLACK_DAYS (or slack_days of the mapping)"
        )
    yield from (f"    {fault}" for fault in kind.faults)


def check_raw_data(
    source: RawSource,
    container: str,
    config: ExportsConfig,
    *,
    slack_days: int,
    records: int = RECORDS,
    workdir: Path | None = None,
) -> RawReport:
    """Looks at all apps of a container. Raises what storage raises."""
    kinds = declared_kinds()
    top = [name.rstrip("/") for name in source.list_folders(container) if name.endswith("/")]
    folders = [name for name in top if not is_hidden(name)]
    notes = []
    if folders and set(folders) <= kinds.keys():
        notes.append(f"{', '.join(folders)}: folders of kinds, without a folder of their app around them")
        folders = []
    mapped = {name for name, app in config.apps.items() if any(one.path for one in app.raw.values())}
    outside = set()
    if config.apps:
        for name in folders:
            if name not in config.apps and not _is_used(name, config):
                outside.add(name)
                near = did_you_mean(name, config.apps, lists_known=True)
                notes.append(f"`{name}/`: exports.toml has no such app{near}")
        notes += [
            f"{name}: there is no folder `{name}/`{did_you_mean(name, folders, lists_known=True)}"
            for name in sorted(config.apps.keys() - set(folders) - mapped)
        ]
    apps = []
    with TemporaryDirectory(dir=workdir, prefix="raw-check-") as temporary:
        for name in sorted({*folders, *mapped} - outside):
            raw = config.apps[name].raw if name in config.apps else {}
            if name not in mapped and (not APP_NAME.fullmatch(name) or _is_used(name, config)):
                continue
            checker = _Checker(source, container, name, raw, slack_days, records, Path(temporary))
            apps.append(checker.report())
    return RawReport(apps, notes)


def check_raw_folder(
    folder: Path, config: ExportsConfig, slack_days: int | None = None, records: int = RECORDS
) -> RawReport:
    """A folder of this machine, laid out as the raw container; `slack_days` None: RAW_SLACK_DAYS' default.

    Raises RequestError if there is none.
    """
    if not folder.is_dir():
        raise RequestError(f"{folder} is no folder")
    slack = Settings.model_fields["raw_slack_days"].default if slack_days is None else slack_days
    return check_raw_data(RawFolder(folder, "raw"), "raw", config, slack_days=slack, records=records)


def _is_used(folder: str, config: ExportsConfig) -> bool:
    """Whether a mapping's path begins with that folder."""
    paths = (one.path for app in config.apps.values() for one in app.raw.values())
    return any(path.startswith(f"{folder}/") for path in paths)


@dataclass
class _Checker:
    source: RawSource
    container: str
    app: str
    mappings: Mapping[str, RawMapping]
    slack_days: int
    records: int
    workdir: Path

    def report(self) -> AppReport:
        kinds, skips = [], []
        for kind, declared in sorted(declared_kinds().items()):
            mapping = self.mappings.get(kind)
            layout = RawLayout(self.app, kind, mapping)
            files, skipped = find_files(self.source, layout, self.container, None)
            skips += [_short(skip, f"{self.app}/") for skip in skipped]
            if not files and not skipped and mapping is None:
                continue
            found = KindReport(kind, len(files), sum(file.blob.size for file in files))
            own = mapping.slack_days if mapping else None
            found.slack_days = self.slack_days if own is None else own
            reader = RawReader(declared, mapping)
            first: bytes | None = None
            for file in files:
                first = self._read(file, declared, reader, found) or first
            found.read, found.passed_over = reader.read, reader.passed_over
            found.undeclared = reader.names.ranked()
            found.suggestion = self._suggestion(declared, mapping, found, skipped, first)
            kinds.append(found)
        folders = unread_kinds(self.source, self.container, self.app, self.mappings)
        skips += [_short(skip, f"{self.app}/") for skip in folders]
        return AppReport(self.app, kinds, grouped(skips))

    def _read(
        self, file: RawInput, declared: ExportType, reader: RawReader, found: KindReport
    ) -> bytes | None:
        """Reads the first records of a file; the first that is rejected."""
        first: list[bytes] = []
        entry = file.entry(self.app)

        def reject(line: int, fault: Fault, text: bytes) -> None:
            found.rules[str(fault)] += 1
            first.append(text)
            if len(found.bad) < _SHOWN:
                shown = " ".join(json_text.shown(text).split())
                original = shown if len(shown) <= _WIDTH else f"{shown[: _WIDTH - 1]}…"
                found.bad.append(BadRecord(cut(entry.name), line, str(fault), original))

        begun = reader.read
        try:
            with closing(self._blocks(file, reader)) as blocks:
                for block in blocks:
                    rows = reader.block(block, reject)
                    self._count_days(rows.instants[declared.time], file.day, found)
                    if reader.read - begun >= self.records:
                        found.is_sampled = True
                        break
        except MobexportError as error:
            found.faults.append(error.message)
        return first[0] if first else None

    def _blocks(self, file: RawInput, reader: RawReader) -> Generator[LineBlock, None, None]:
        entry = file.entry(self.app)
        chunks = self.source.read_chunks(file.container, file.blob)
        if entry.stored.format is not RawFormat.PARQUET:
            yield from record_blocks(entry.stored.format, chunks, entry.name)
            return
        with local_copy(chunks, self.workdir / "rows.parquet") as local:
            yield from row_blocks(local, entry.name, reader.source_fields, None, reader.names)

    def _count_days(self, instants: pa.Array, folder: date | None, found: KindReport) -> None:
        counts = pc.value_counts(instants.cast(pa.timestamp("us")).cast(pa.date32(), safe=False))
        for one in counts.to_pylist():
            if (day := one["values"]) is None:
                continue
            found.days[day] += one["counts"]
            if folder and (apart := abs((day - folder).days)) > found.slack_days:
                found.beyond[apart] += one["counts"]

    def _suggestion(
        self,
        declared: ExportType,
        mapping: RawMapping | None,
        found: KindReport,
        skipped: Iterable[Skip],
        first: bytes | None,
    ) -> Suggestion | None:
        """A mapping for records of other names, or for files of another layout."""
        if mapping is not None:
            return None
        if first is not None and found.rejected * 2 > found.read:
            return suggest(declared, sample_of(first), found.bad[0].file, reads_names=False)
        if found.files:
            return None
        for skip in skipped:
            stored = stored_as(skip.name)
            if skip.reason == HIDDEN or stored is None or stored.format is RawFormat.PARQUET:
                continue
            name = f"{self.app}/{skip.name}" if not skip.name.startswith(f"{self.app}/") else skip.name
            blob = next((one for one in self.source.list_blobs(self.container, name)), None)
            if blob is None:
                continue
            try:
                chunks = self.source.read_chunks(self.container, blob)
                block = next(record_blocks(stored.format, chunks, name), None)
            except MobexportError:
                continue
            if block and (sample := next(iter(islice(block.lines, 1)), None)):
                return suggest(
                    declared, sample_of(sample), name.removeprefix(f"{self.app}/"), reads_names=True
                )
        return None


def _short(skip: Skip, before: str) -> Skip:
    return Skip(skip.name.removeprefix(before), skip.reason, skip.files)
