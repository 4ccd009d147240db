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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mobexport import export_types, record_sql
from mobexport.duck import DuckLimits, connect, fetch_batches, literal
from mobexport.export_api import parquet_slices, rendering
from mobexport.export_api.assembling import Assembly
from mobexport.export_api.blocks import Blocks, BlockTarget, block_name
from mobexport.export_api.counts import ExportCounts, Tally, ranked
from mobexport.export_api.file_writer import BLOCK_BYTES, make_loaders, rendered_runs, sizes
from mobexport.export_api.gunzip import gunzip
from mobexport.export_api.loading import REJECTS, Loading, Workers
from mobexport.export_api.parquet_rows import row_ranges
from mobexport.export_api.raw_lines import GZIP, PARQUET, Lines, raw_blocks
from mobexport.export_api.rendering import Sink
from mobexport.export_api.selection import ExportFormat, Selection
from mobexport.export_api.slices import Piece, Slice, lines_of_range, plan_slices

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SLICE_BYTES = 128 * 1024 * 1024
BUCKET_BYTES = 64 * 1024 * 1024
MAX_BUCKETS = 64
"""Bytes of a block of the target: 50,000 of them, as many as a blob may have, are 195 GiB."""


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
class RawEntry:
    """One raw file of the plan."""

    name: str
    """Its place, below the app's folder."""
    size: int
    kind: str = ""
    """Its kind of raw data; empty: the export type's own."""


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

    @property
    def assembly(self) -> Assembly:
        """The queries for it."""
        return Assembly(export_types.get(self.export_type), self.output, self.selection)

    def fine(self, bucket: int) -> tuple[int, int]:
        """The first and last of the 256 finest buckets that are in that one."""
        ends = [-(-n * rendering.BUCKETS // self.buckets) for n in (bucket, bucket + 1)]
        return ends[0], ends[1] - 1

    def to_json(self) -> dict[str, Any]:
        return {
            "version": 1,
            "exportType": self.export_type,
            "output": str(self.output),
            "selection": self.selection.to_json(),
            "files": [[file.name, file.size, file.kind] for file in self.files],
            "slices": [one.to_json() for one in self.slices],
            "buckets": self.buckets,
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
        )


def plan(
    spec: Spec,
    source: RawSource,
    *,
    workdir: Path,
    limits: DuckLimits,
    slice_bytes: int = SLICE_BYTES,
    bucket_bytes: int = BUCKET_BYTES,
) -> Spec:
    """The spec with its slices and the number of its buckets. Reads the footers of large Parquet files only.

    Raises DataError for a Parquet file that has no footer.
    """

    def groups(file: int) -> list[tuple[int, int]]:
        with _footer(source, spec, file, workdir, limits) as (_, _, found):
            return [(rows, end - first) for rows, first, end in found]

    total = sum(file.size for file in spec.files)
    buckets = min(max(-(-total // bucket_bytes), 1), MAX_BUCKETS)
    slices = plan_slices([(file.name, file.size) for file in spec.files], slice_bytes, groups)
    return replace(spec, slices=tuple(slices), buckets=buckets)


def partition_slice(
    spec: Spec, number: int, source: RawSource, store: WorkStore, *, workdir: Path, limits: DuckLimits
) -> dict[str, Any]:
    """Reads a slice: its kept records by bucket as one blob, its rejects as another, its counts as a third.

    `{"slice", "token", "read", "rejected"}`. Raises what reading raises, and DataError as `write_export`.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    name = f"slice-{number:05}-{secrets.token_hex(4)}"
    records, rejects, summary = (workdir / f"{name}{ending}" for ending in (".records", ".rejects", ".json"))
    assembly = spec.assembly
    with connect(workdir, replace(limits, threads=1)) as connection:
        connection.execute(REJECTS)
        loaders = make_loaders(connection, workdir, assembly)
        with Workers(connection, limits.threads) as workers:
            lines = _load(workers, connection, workdir, loaders, spec, spec.slices[number], source)
        index = _write_records(connection, spec, list(loaders.values()), workdir, records)
        rejected = _write_rejects(connection, rejects)
    store.put(f"{name}.records", records)
    if rejected:
        store.put(f"{name}.rejects", rejects)
    names: Counter[str] = Counter()
    for loader in loaders.values():
        names += loader.names
    found = {
        "read": sum(loader.read for loader in loaders.values()),
        "outside": sum(loader.outside for loader in loaders.values()),
        "rejected": rejected,
        "names": names,
        "lines": lines,
        "index": index,
    }
    summary.write_text(json.dumps(found), "utf-8")
    store.put(f"{name}.json", summary)
    for path in (records, rejects, summary):
        path.unlink(missing_ok=True)
    return {"slice": number, "token": name, "read": found["read"], "rejected": rejected}


def write_bucket(
    spec: Spec,
    bucket: int,
    tokens: Sequence[str],
    store: WorkStore,
    target: BlockTarget,
    *,
    workdir: Path,
    limits: DuckLimits,
) -> dict[str, Any]:
    """Stages the text of a bucket as blocks of the target: `{"bucket", "blocks", and its counts}`.

    Raises DataError (`TooLarge`) where the limits do not suffice, and what storage raises.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    assembly = spec.assembly
    total = Tally()
    with connect(workdir, replace(limits, threads=1)) as connection:
        loaders = list(make_loaders(connection, workdir, assembly).values())
        for token in tokens:
            index = _summary(store, token)["index"].get(str(bucket), [None] * len(loaders))
            for loader, place in zip(loaders, index, strict=True):
                if place:
                    local = workdir / "records.parquet"
                    with local.open("wb") as out:
                        out.writelines(store.read(f"{token}.records", place[0], place[0] + place[1]))
                    connection.execute(loader.take(f"read_parquet({literal(str(local))})"))
                    local.unlink()
        with Blocks(target, bucket) as blocks, Workers(connection, limits.threads) as workers:
            for rendered in rendered_runs(workers, connection, workdir, assembly, loaders):
                if rendered.tally.elements:
                    if total.elements:
                        blocks.add(assembly.separator.encode())
                    for chunk in rendered.text.chunks():
                        blocks.add(chunk)
                rendered.text.close()
                total.add(rendered.tally)
    return {"bucket": bucket, "blocks": blocks.count, **vars(total)}


def commit(
    spec: Spec,
    tokens: Sequence[str],
    written: Sequence[Mapping[str, Any]],
    store: WorkStore,
    target: BlockTarget,
    rejects: Sink,
) -> ExportCounts:
    """Makes the file appear, writes all rejects to `rejects` (NDJSON), gives the counts of the whole task."""
    assembly = spec.assembly
    blocks = [block_name(0, 0)]
    elements = sum(outcome["elements"] for outcome in written)
    target.stage(blocks[0], (assembly.opening if elements else assembly.empty).encode())
    following = False
    for outcome in sorted(written, key=lambda one: int(one["bucket"])):
        if not outcome["elements"]:
            continue
        if following and assembly.separator:
            blocks.append(block_name(outcome["bucket"] + 1, 0))
            target.stage(blocks[-1], assembly.separator.encode())
        following = True
        blocks += [block_name(outcome["bucket"] + 1, n) for n in range(1, outcome["blocks"] + 1)]
    if elements and assembly.ending:
        blocks.append(block_name(spec.buckets + 1, 0))
        target.stage(blocks[-1], assembly.ending.encode())
    summaries = [_summary(store, token) for token in tokens]
    _finish_rejects(spec, tokens, summaries, store, rejects)
    target.commit(blocks)
    names: Counter[str] = Counter()
    for one in summaries:
        names.update(one["names"])
    return ExportCounts(
        sum(one["read"] for one in summaries),
        sum(one["rejected"] for one in summaries),
        sum(one["outside"] for one in summaries) + sum(one["outside"] for one in written),
        sum(one["superseded"] for one in written),
        sum(one["removed"] for one in written),
        sum(one["exported"] for one in written),
        elements,
        ranked(names),
    )


class _footer:  # noqa: N801 - used as a function
    """A sparse local copy of a Parquet file's footer, with a connection to ask it and its row groups."""

    def __init__(self, source: RawSource, spec: Spec, file: int, workdir: Path, limits: DuckLimits) -> None:
        self._read = partial(source.read, file)
        self._entry = spec.files[file]
        self._workdir = workdir
        self._limits = limits

    def __enter__(self) -> tuple[Path, Any, list[tuple[int, int, int]]]:
        self._workdir.mkdir(parents=True, exist_ok=True)
        self._path = self._workdir / "footer.parquet"
        parquet_slices.footer_copy(self._read, self._entry.size, self._entry.name, self._path)
        with connect(self._workdir, replace(self._limits, threads=1)) as connection:
            return self._path, self._read, parquet_slices.row_groups(connection, self._path, self._entry.name)

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)


def _load(
    workers: Workers,
    connection: DuckDBPyConnection,
    workdir: Path,
    loaders: dict[str, Loading],
    spec: Spec,
    one: Slice,
    source: RawSource,
) -> list[tuple[int, int]]:
    """Reads the pieces of a slice; (piece, lines) of those that are lines."""
    own = next(iter(loaders))
    counted: list[Lines] = []
    pending: list[Lines] = []

    def flush(kind: str) -> None:
        workers.run(loaders[kind].lines(parts) for parts in raw_blocks(pending, block_bytes=BLOCK_BYTES))
        counted.extend(pending)
        pending.clear()

    before = own
    for piece in one.pieces:
        entry = spec.files[piece.file]
        kind = entry.kind or own
        if pending and kind != before:
            flush(before)
        before = kind
        if entry.name.endswith(PARQUET):
            if pending:
                flush(kind)
            _load_parquet(workers, connection, workdir, loaders[kind], entry, piece, source)
        else:
            chunks = _chunks(source, entry, piece)
            pending.append(Lines(piece.number, chunks, from_start=piece.first == 0))
    if pending:
        flush(before)
    return [(lines.number, lines.count) for lines in counted]


def _chunks(source: RawSource, entry: RawEntry, piece: Piece) -> Iterator[bytes]:
    read = partial(source.read, piece.file)
    if entry.name.endswith(GZIP):
        return gunzip(read(0, entry.size), entry.name)
    if piece.end == entry.size and piece.first == 0:
        return read(0, entry.size)
    return lines_of_range(read, piece.first, piece.end, entry.size)


def _load_parquet(
    workers: Workers,
    connection: DuckDBPyConnection,
    workdir: Path,
    loader: Loading,
    entry: RawEntry,
    piece: Piece,
    source: RawSource,
) -> None:
    local = workdir / "rows.parquet"
    read = partial(source.read, piece.file)
    try:
        if piece.end < 0:
            with local.open("wb") as out:
                out.writelines(read(0, entry.size))
        else:
            parquet_slices.footer_copy(read, entry.size, entry.name, local)
            groups = parquet_slices.row_groups(connection, local, entry.name)
            parquet_slices.add_rows(read, groups, (piece.first, piece.end), local)
        wanted = [
            (first, end)
            for first, end in row_ranges(connection, local, entry.name)
            if piece.end < 0 or (piece.first <= first and end <= piece.end)
        ]
        workers.run(loader.parquet(piece.number, local, entry.name, rows) for rows in wanted)
    finally:
        local.unlink(missing_ok=True)


def _write_records(
    connection: DuckDBPyConnection, spec: Spec, loaders: list[Loading], workdir: Path, records: Path
) -> dict[int, list[tuple[int, int] | None]]:
    """One file of Parquet files behind each other; where they are, by bucket and loader."""
    index: dict[int, list[tuple[int, int] | None]] = {}
    there = dict(sizes(connection, loaders))
    local = workdir / "bucket.parquet"
    with records.open("wb") as out:
        for bucket in range(spec.buckets):
            first, last = spec.fine(bucket)
            if not any(fine in there for fine in range(first, last + 1)):
                continue
            places: list[tuple[int, int] | None] = []
            for loader in loaders:
                connection.execute(
                    f"COPY {loader.kept(first, last)} TO {literal(str(local))}"
                    " (FORMAT parquet, COMPRESSION snappy)"
                )
                places.append((out.tell(), local.stat().st_size))
                out.write(local.read_bytes())
                local.unlink()
            index[bucket] = places
    return index


def _write_rejects(connection: DuckDBPyConnection, rejects: Path) -> int:
    """A line each: piece, line in it, fault, original."""
    count = 0
    query = "SELECT part, line, fault, original FROM reject ORDER BY part, line"
    with rejects.open("w", encoding="utf-8", newline="") as out:
        for batch in fetch_batches(connection.execute(query)):
            out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch)
            count += len(batch)
    return count


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
        for line in _lines(store.read(f"{token}.rejects", 0, None)):
            number, at, fault, original = json.loads(line)
            place = {"file": spec.files[pieces[number].file].name, "line": before.get(number, 0) + at}
            rejects.write(record_sql.reject_line(place, fault, original).encode())


def _summary(store: WorkStore, token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b"".join(store.read(f"{token}.json", 0, None)))
    return found


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    pending = b""
    for chunk in chunks:
        *whole, pending = (pending + chunk).split(b"\n")
        yield from whole
