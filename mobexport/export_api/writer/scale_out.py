"""The steps of a large export, each on its own machine if need be: plan, partition, write, commit.

    spec = plan(spec_without_slices, source, …)     what is read, cut into slices and buckets; kept as JSON
    partition_slice(spec, n, …)   for each slice    → {"slice", "token", …}     one blob of records by bucket
    write_bucket(spec, b, tokens, …)  each bucket   → {"bucket", "blocks", …}   blocks of the target, staged
    commit(spec, tokens, written, …)                → ExportCounts              the block list, once

Inputs and outputs of the steps are a few hundred bytes of JSON, whatever the size of the data:
`spec.to_json` is the plan (a blob), steps pass numbers and tokens. `tokens` are those of the slices in their
order, `written` the outcomes of the buckets. Together the steps write the bytes that `file_writer` writes,
and count the same.

Each step can be repeated, also while an earlier attempt is still running: a slice's blobs are named by a
token that only its outcome tells, a bucket's blocks have the same names and the same bytes every time, and
nothing is visible before the commit. What a lost attempt left goes with the work container.

Storage is behind three small protocols, so that the same code runs on files and on Azure.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from mobexport import export_types
from mobexport.export_api.tasks.counts import ExportCounts
from mobexport.export_api.tasks.selection import Selection
from mobexport.export_api.writer.blocks import Aside, Blocks, BlockTarget, block_name
from mobexport.export_api.writer.export_file import RawLoader, Sink, make_loaders
from mobexport.export_api.writer.gzip_members import lines_of_members, member_starts
from mobexport.export_api.writer.slices import Piece, RawEntry, Slice, lines_of_range, plan_slices
from mobexport.export_types.model import ExportType
from mobexport.raw_mapping import RawMapping
from mobexport.records.checks import Fault, Rule
from mobexport.records.export_text import ExportText
from mobexport.records.formats import ExportFormat
from mobexport.records.limits import Limits
from mobexport.records.lines import line_blocks
from mobexport.records.merging import Tally
from mobexport.records.names import Names
from mobexport.records.parquet_rows import open_range, row_groups
from mobexport.records.raw_files import record_blocks
from mobexport.records.raw_formats import RawFormat
from mobexport.records.rejects import RejectsFile, reject_line
from mobexport.records.sorting import merged, read_run

SLICE_BYTES = 128 * 1024 * 1024
BUCKET_BYTES = 64 * 1024 * 1024
MAX_BUCKETS = 64
READ_BYTES = 1024 * 1024
"""What is read at once of each run that a bucket is merged of."""


class RawSource(Protocol):
    """The raw files of a task, by their index in the plan, each pinned to its version then."""

    def read(self, file: int, first: int, end: int) -> Iterator[bytes]:
        """Bytes `first` up to before `end`. Raises SourceChanged if the file is not the one planned."""


class WorkStore(Protocol):
    """Where a task keeps what goes from step to step."""

    def put(self, name: str, path: Path) -> None:
        """Keeps a local file, whole or not at all."""

    def read(self, name: str, first: int, end: int | None) -> Iterator[bytes]:
        """Bytes `first` up to before `end` (None: its end)."""


@dataclass(frozen=True)
class Spec:
    """What all steps of a task know; fixed by the plan."""

    export_type: str
    output: ExportFormat
    selection: Selection
    files: tuple[RawEntry, ...]
    """By name."""
    slices: tuple[Slice, ...] = ()
    buckets: int = 1
    """How many ranges of the group key's MD5 are written side by side."""
    mappings: Mapping[str, Any] = field(default_factory=dict)
    """By kind, its mapping as it was when the task began; JSON."""
    quote_formulas: bool = False
    """Of CSV: the app's `csv_formulas` when the task began."""
    slack_days: int | None = None
    """Days beside a window that are looked into; None: there is no window."""

    @property
    def raw_mappings(self) -> dict[str, RawMapping]:
        """The mappings by kind."""
        return {kind: RawMapping.model_validate(one) for kind, one in self.mappings.items()}

    @property
    def declared(self) -> ExportType:
        """The declaration of its type."""
        return export_types.get(self.export_type)

    @property
    def text(self) -> ExportText:
        """What makes its text."""
        return ExportText(self.declared, self.output, self.quote_formulas)

    @property
    def bounds(self) -> tuple[int, ...]:
        """For each bucket, the first byte of an MD5 from which on it has none."""
        return tuple(-(-n * 256 // self.buckets) for n in range(1, self.buckets + 1))

    def to_json(self) -> dict[str, Any]:
        return {
            "version": 1,
            "exportType": self.export_type,
            "output": str(self.output),
            "selection": self.selection.to_json(),
            "files": [file.to_json() for file in self.files],
            "slices": [one.to_json() for one in self.slices],
            "buckets": self.buckets,
            "mappings": dict(self.mappings),
            "quoteFormulas": self.quote_formulas,
            "slackDays": self.slack_days,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Spec:
        return cls(
            value["exportType"],
            ExportFormat(value["output"]),
            Selection.from_json(value["selection"]),
            tuple(RawEntry(*file) for file in value["files"]),
            tuple(map(Slice.from_json, value["slices"])),
            value["buckets"],
            value.get("mappings", {}),
            value.get("quoteFormulas", False),
            value.get("slackDays"),
        )


def plan(
    spec: Spec, source: RawSource, *, slice_bytes: int = SLICE_BYTES, bucket_bytes: int = BUCKET_BYTES
) -> Spec:
    """The spec with its slices and the number of its buckets.

    Reads the footers of large Parquet files, and of large gzip files what tells where members begin.

    Raises DataError for a Parquet file that has no footer.
    """

    def groups(file: int) -> list[tuple[int, int]]:
        entry = spec.files[file]
        return row_groups(open_range(partial(source.read, file), 0, entry.size), entry.name)

    def members(file: int, every: int) -> list[int]:
        return member_starts(partial(source.read, file), spec.files[file].size, every)

    total = sum(file.unpacked for file in spec.files)
    buckets = min(max(-(-total // bucket_bytes), 1), MAX_BUCKETS)
    slices = plan_slices(spec.files, slice_bytes, groups, members)
    return replace(spec, slices=tuple(slices), buckets=buckets)


def partition_slice(
    spec: Spec, number: int, source: RawSource, store: WorkStore, *, workdir: Path, limits: Limits
) -> dict[str, Any]:
    """Reads a slice: its kept records as sorted runs by bucket, its rejects, its counts, a blob each.

    `{"slice", "token", "read", "rejected"}`. Raises what reading raises, and DataError as `write_export`.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    name = f"slice-{number:05}-{secrets.token_hex(4)}"
    rejects, summary = (workdir / f"{name}{ending}" for ending in (".rejects", ".json"))
    loaders = make_loaders(
        spec.declared, spec.selection, workdir, limits, spec.bounds, spec.raw_mappings, spec.slack_days
    )
    with ExitStack() as stack, RejectsFile(rejects) as kept:
        for loader in loaders.values():
            stack.callback(loader.spill.path.unlink, missing_ok=True)
            stack.callback(loader.spill.close)

        def reject(part: int, line: int, fault: Fault, text: bytes) -> None:
            kept.take({"part": part, "line": line}, fault, text)

        lines = []
        for piece in spec.slices[number].pieces:
            entry = spec.files[piece.file]
            loader = loaders[entry.kind or spec.declared.kind]
            loader.day = entry.day
            if (count := _load(loader, piece, entry, source, reject)) is not None:
                lines.append((piece.number, count))
        for loader in loaders.values():
            loader.kept.spill()
            loader.spill.close()
        names = Names()
        for kind, loader in loaders.items():
            names.merge(loader.names.counts)
            if loader.spill.index:
                store.put(f"{name}.{kind}", loader.spill.path)
    if kept.count:
        store.put(f"{name}.rejects", rejects)
    found = {
        "read": sum(loader.read for loader in loaders.values()),
        "outside": sum(loader.outside for loader in loaders.values()),
        "rejected": kept.count,
        "rules": dict(kept.rules),
        "lateFiled": sum(loader.late_filed for loader in loaders.values()),
        "names": names.counts,
        "lines": lines,
        "index": {kind: loader.spill.index for kind, loader in loaders.items()},
    }
    summary.write_text(json.dumps(found), "utf-8")
    store.put(f"{name}.json", summary)
    for path in (rejects, summary):
        path.unlink(missing_ok=True)
    return {"slice": number, "token": name, "read": found["read"], "rejected": kept.count}


def _load(loader: RawLoader, piece: Piece, entry: RawEntry, source: RawSource, reject: Any) -> int | None:
    """Reads a piece; how many lines it has, if it has lines."""
    read = partial(source.read, piece.file)
    if entry.stored.format is RawFormat.PARQUET:
        rows = None if piece.end < 0 else (piece.first, piece.end)
        loader.parquet(piece.number, open_range(read, 0, entry.size), entry.name, rows, reject)
        return None
    if (piece.first, piece.end) == (0, entry.size):
        blocks = record_blocks(entry.stored.format, read(0, entry.size), entry.name)
    elif entry.is_gzip:
        blocks = line_blocks(lines_of_members(read, piece.first, piece.end, entry.size, entry.name))
    else:
        blocks = line_blocks(lines_of_range(read, piece.first, piece.end, entry.size))
    return loader.lines(piece.number, blocks, reject)


def write_bucket(
    spec: Spec,
    bucket: int,
    tokens: Sequence[str],
    store: WorkStore,
    target: BlockTarget,
    aside: Aside = nullcontext,
) -> dict[str, Any]:
    """Stages the text of a bucket as blocks of the target: `{"bucket", "blocks", and its counts}`.

    Raises what storage raises. Memory: a batch of each run, whatever the size of the bucket.
    """
    declared = spec.declared
    tally = Tally()
    summaries = [_summary(store, token) for token in tokens]

    def rows(export_type: ExportType) -> Iterator[Any]:
        runs = [
            read_run(
                open_range(
                    partial(store.read, f"{token}.{export_type.kind}"), at, at + size, buffer=READ_BYTES
                )
            )
            for token, summary in zip(tokens, summaries, strict=True)
            for at, size in summary["index"][export_type.kind].get(str(bucket), ())
        ]
        return merged(runs)

    joined = rows(declared.joined) if declared.joined else None
    with Blocks(target, bucket, aside) as blocks:
        for chunk in spec.text.elements(rows(declared), joined, spec.selection.bounds, tally):
            blocks.add(chunk)
    return {"bucket": bucket, "blocks": blocks.count, **vars(tally)}


def commit(
    spec: Spec,
    tokens: Sequence[str],
    written: Sequence[Mapping[str, Any]],
    store: WorkStore,
    target: BlockTarget,
    rejects: Sink,
) -> ExportCounts:
    """Makes the file appear, writes all rejects to `rejects` (NDJSON), gives the counts of the whole task."""
    text = spec.text
    blocks = [block_name(0, 0)]
    elements = sum(outcome["elements"] for outcome in written)
    target.stage(blocks[0], text.opening if elements else text.empty)
    following = False
    for outcome in sorted(written, key=lambda one: int(one["bucket"])):
        if not outcome["elements"]:
            continue
        if following and text.separator:
            blocks.append(block_name(outcome["bucket"] + 1, 0))
            target.stage(blocks[-1], text.separator)
        following = True
        blocks += [block_name(outcome["bucket"] + 1, n) for n in range(1, outcome["blocks"] + 1)]
    if elements and text.ending:
        blocks.append(block_name(spec.buckets + 1, 0))
        target.stage(blocks[-1], text.ending)
    summaries = [_summary(store, token) for token in tokens]
    _finish_rejects(spec, tokens, summaries, store, rejects)
    target.commit(blocks)
    names = Names()
    rules: Counter[str] = Counter()
    for one in summaries:
        names.merge(one["names"])
        # A slice that an earlier version of the app has read does not tell them.
        rules.update(one.get("rules", {}))
    return ExportCounts(
        sum(one["read"] for one in summaries),
        sum(one["rejected"] for one in summaries),
        sum(one["outside"] for one in summaries) + sum(one["outside"] for one in written),
        sum(one["superseded"] for one in written),
        sum(one["removed"] for one in written),
        sum(one["exported"] for one in written),
        elements,
        names.ranked(),
        dict(rules),
        sum(one.get("lateFiled", 0) for one in summaries),
    )


def _finish_rejects(
    spec: Spec,
    tokens: Sequence[str],
    summaries: Sequence[Mapping[str, Any]],
    store: WorkStore,
    rejects: Sink,
) -> None:
    """The rejects of all slices in their order, with lines counted from the start of their files."""
    pieces = {piece.number: piece for one in spec.slices for piece in one.pieces}
    before: dict[int, int] = {}
    counted: Counter[int] = Counter()
    for summary in summaries:
        for number, lines in summary["lines"]:
            before[number] = counted[pieces[number].file]
            counted[pieces[number].file] += lines
    for token, summary in zip(tokens, summaries, strict=True):
        if not summary["rejected"]:
            continue
        blocks = line_blocks(store.read(f"{token}.rejects", 0, None))
        for line in chain.from_iterable(block.lines for block in blocks):
            found = json.loads(line)
            number = found.pop("part")
            fault = Fault(Rule(found["rule"]), found.get("field", ""))
            place = {
                "file": spec.files[pieces[number].file].name,
                "line": before.get(number, 0) + found["line"],
            }
            rejects.write(reject_line(place, fault, found["original"].encode()))


def _summary(store: WorkStore, token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b"".join(store.read(f"{token}.json", 0, None)))
    return found
