"""Writes one export file from raw files: the semantics of section 3 of the design.

The bytes of the file depend on the raw data and the request only: not on the order in which files are listed,
on how they are cut into chunks, or on what was spilled.

JSON values (`extras`, a tag's `value`) are passed on as they were written, character by character, but for
whitespace between tokens, which is removed: `1e3`, `0.10`, `\\u00e9`, integers of any length, the order of
members and members that stand twice in them all stay. Other strings keep their value, not their spelling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa

from mobexport.export_api.tasks.counts import ExportCounts
from mobexport.export_api.tasks.selection import Selection, Window
from mobexport.export_types.model import ExportType
from mobexport.raw_mapping import RawMapping
from mobexport.records import times
from mobexport.records.checks import Fault
from mobexport.records.export_text import ExportText
from mobexport.records.formats import ExportFormat
from mobexport.records.instants import bounds_of, days_around
from mobexport.records.keeping import Keeper
from mobexport.records.limits import Limits
from mobexport.records.lines import LineBlock
from mobexport.records.merging import Tally
from mobexport.records.names import Names
from mobexport.records.parquet_rows import row_blocks
from mobexport.records.raw_files import record_blocks
from mobexport.records.raw_formats import RawFormat, Stored, stored_as
from mobexport.records.raw_records import RawReader, Rows
from mobexport.records.rejects import RejectsFile
from mobexport.records.sorting import SpillFile

__all__ = ["ExportCounts", "ExportFormat", "RawFile", "Selection", "write_export"]


class Sink(Protocol):
    """What takes bytes one after the other."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True)
class RawFile:
    """One raw file, as the plan of a task fixed it."""

    name: str
    """Its place, below the app's folder: `events/2025-03-23/part-0.ndjson`."""
    chunks: Callable[[], Iterator[bytes]]
    """Reads it, from its start."""
    kind: str = ""
    """Its kind of raw data; empty: the export type's own."""
    stored: Stored | None = None
    """What its bytes are; None: by its name, else lines."""
    day: str = ""
    """The day of its folder, where it has one."""

    @property
    def format(self) -> RawFormat:
        """Its format."""
        stored = self.stored or stored_as(self.name)
        return stored.format if stored else RawFormat.NDJSON


class RawLoader:
    """Reads raw data of one kind into what keeps its records, and counts what became of each."""

    def __init__(
        self,
        export_type: ExportType,
        selection: Selection,
        spill: SpillFile,
        mapping: RawMapping | None = None,
        slack_days: int | None = None,
    ) -> None:
        """`slack_days`: None where no window is asked for."""
        self._reader = RawReader(export_type, mapping)
        own = mapping.slack_days if mapping else None
        self._slack_days = slack_days if own is None or slack_days is None else own
        self.day = ""
        """The day of the folder of the file that is read, if it has one."""
        self.late_filed = 0
        self.export_type = export_type
        self.kept = Keeper(export_type, selection.bounds, selection.only, spill)
        self.spill = spill

    @property
    def read(self) -> int:
        return self._reader.read

    @property
    def outside(self) -> int:
        """Records that were not selected: by the request, or by `where` of the mapping."""
        return self.kept.outside + self._reader.passed_over

    @property
    def names(self) -> Names:
        """Names that nobody declared."""
        return self._reader.names

    def lines(
        self, part: int, blocks: Iterable[LineBlock], reject: Callable[[int, int, Fault, bytes], None]
    ) -> int:
        """Reads the lines of a file or a piece of one; how many there are. Parts come in their order."""
        number = 0
        for block in blocks:
            rows = self._reader.block(block, lambda line, fault, text: reject(part, line, fault, text))
            self._keep(rows)
            number = block.first_line + len(block.lines) - 1
        return number

    def parquet(
        self,
        part: int,
        source: Any,
        name: str,
        rows: tuple[int, int] | None,
        reject: Callable[[int, int, Fault, bytes], None],
    ) -> None:
        """Reads rows (from the first up to before the second; all) of an open Parquet file.

        Raises DataError if it is none, and what reading raises.
        """
        for block in row_blocks(source, name, self._reader.source_fields, rows, self.names):
            found = self._reader.block(block, lambda line, fault, text: reject(part, line, fault, text))
            self._keep(found)

    def _keep(self, rows: Rows) -> None:
        if self.day and self._slack_days is not None:
            day = date.fromisoformat(self.day)
            bounds = bounds_of(*days_around(day, day, self._slack_days))
            near = times.within(rows.instants[self.export_type.time].cast(pa.int64()), bounds)
            self.late_filed += 0 if near is None else len(near) - near.true_count
        self.kept.add(rows)


def make_loaders(
    export_type: ExportType,
    selection: Selection,
    workdir: Path,
    limits: Limits,
    bounds: Sequence[int] = (256,),
    mappings: Mapping[str, RawMapping] | None = None,
    slack_days: int | None = None,
) -> dict[str, RawLoader]:
    """What reads each kind of raw data that the type needs; its own kind is the first."""
    joined = export_type.joined
    if joined:
        limits = replace(limits, memory_mb=limits.memory_mb // 2)
    own = mappings or {}
    spill = SpillFile(workdir / "own", limits, bounds)
    mapping = own.get(export_type.kind)
    found = {export_type.kind: RawLoader(export_type, selection, spill, mapping, slack_days)}
    if joined:
        spill = SpillFile(workdir / "joined", limits, bounds)
        found[joined.kind] = RawLoader(joined, Selection(), spill, own.get(joined.kind))
    return found


def write_export(
    export_type: ExportType,
    files: Iterable[RawFile],
    *,
    window: Window | None = None,
    selection: Selection | None = None,
    output: ExportFormat = ExportFormat.JSON,
    target: Path | Sink,
    rejects: Path,
    workdir: Path,
    limits: Limits,
    mappings: Mapping[str, RawMapping] | None = None,
    quote_formulas: bool = False,
    slack_days: int | None = None,
) -> ExportCounts:
    """Writes the export file to `target`, and raw lines that cannot be used (if there are any) to `rejects`.

    `window` is short for a selection that says no more. `target` is one JSON array, UTF-8, one element a
    line, `[]` when nothing is exported; or CSV by RFC 4180 with a header, one row per innermost record.
    `rejects` is NDJSON: file, line (from 1), rule, field (where one is at fault), original. `workdir` takes
    temporary files, no more than `limits` allow. Raises DataError (`TooLarge`) where the limits do not
    suffice, for files that are no intact gzip or Parquet, and whatever reading a file raises. `mappings`: by
    kind, what its fields are called. `quote_formulas`: CSV for spreadsheets. `slack_days`: how
    far from the day of its folder a record may lie without being counted as filed late.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    ordered = sorted(files, key=lambda file: file.name)
    chosen = selection or Selection(window)
    text = ExportText(export_type, output, quote_formulas)
    tally = Tally()
    loaders = make_loaders(export_type, chosen, workdir, limits, mappings=mappings, slack_days=slack_days)
    with ExitStack() as stack:
        kept = stack.enter_context(RejectsFile(rejects))

        def reject(part: int, line: int, fault: Fault, text: bytes) -> None:
            kept.take({"file": ordered[part].name, "line": line}, fault, text)

        for loader in loaders.values():
            stack.callback(loader.spill.close)
        for part, file in enumerate(ordered):
            loader = loaders[file.kind or export_type.kind]
            loader.day = file.day
            if file.format is RawFormat.PARQUET:
                with local_copy(file.chunks(), workdir / "rows.parquet") as local:
                    loader.parquet(part, local, file.name, None, reject)
            else:
                loader.lines(part, record_blocks(file.format, file.chunks(), file.name), reject)
        own, *joined = (loader.kept.rows() for loader in loaders.values())
        out = stack.enter_context(target.open("wb") if isinstance(target, Path) else nullcontext(target))
        begun = False
        for chunk in text.elements(own, joined[0] if joined else None, chosen.bounds, tally):
            out.write(chunk if begun else text.opening + chunk)
            begun = True
        out.write(text.ending if begun else text.empty)
    names = Names()
    for loader in loaders.values():
        names.merge(loader.names.counts)
    return ExportCounts(
        sum(loader.read for loader in loaders.values()),
        kept.count,
        tally.outside + sum(loader.outside for loader in loaders.values()),
        tally.superseded,
        tally.removed,
        tally.exported,
        tally.elements,
        names.ranked(),
        dict(kept.rules),
        sum(loader.late_filed for loader in loaders.values()),
    )


@contextmanager
def local_copy(chunks: Iterable[bytes], path: Path) -> Iterator[IO[bytes]]:
    """A local file with the bytes of some chunks, open for reading; deleted after the `with` block."""
    with path.open("wb") as out:
        out.writelines(chunks)
    try:
        with path.open("rb") as data:
            yield data
    finally:
        path.unlink(missing_ok=True)
