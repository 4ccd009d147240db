"""Writes one export file from raw files: the semantics of section 3 of the design, in DuckDB.

The bytes of the file depend on the raw data and the request only: not on the order in which files are
listed, on how they are cut into chunks, or on the number of threads.

JSON values (`extras`, a tag's `value`) are passed on as they were written, character by character, but for
whitespace between tokens, which is removed: `1e3`, `0.10`, `\\u00e9`, integers of any length, the order of
members and members that stand twice in them all stay. Other strings keep their value, not their spelling.
Of two members of a raw record with one name the last counts. Not read at all (and so rejected): what is no
JSON by RFC 8259 (`NaN`, trailing commas), and halves of surrogate pairs, which UTF-8 cannot say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from mobexport import record_sql
from mobexport.duck import DuckLimits, connect, fetch_batches
from mobexport.export_api import rendering
from mobexport.export_api.assembling import Assembly
from mobexport.export_api.counts import ExportCounts, Tally, ranked
from mobexport.export_api.loading import REJECTS, Loading, Workers
from mobexport.export_api.parquet_rows import row_ranges
from mobexport.export_api.raw_lines import PARQUET, Lines, RawFile, raw_blocks
from mobexport.export_api.rendering import Sink
from mobexport.export_api.selection import ExportFormat, Selection, Window
from mobexport.export_types.model import ExportType

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["ExportCounts", "ExportFormat", "RawFile", "Selection", "write_export"]

BLOCK_BYTES = 8 * 1024 * 1024


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
    limits: DuckLimits,
) -> ExportCounts:
    """Writes the export file to `target`, and raw lines that cannot be used (if there are any) to `rejects`.

    `window` is short for a selection that says no more. `target` is one JSON array, UTF-8, one element a
    line, `[]` when nothing is exported; or CSV by RFC 4180 with a header, one row per innermost record.
    `rejects` is NDJSON: file, line (from 1), rule, field (where one is at fault), original. `workdir` takes
    temporary files, no more than `limits` allow. Raises DataError (`TooLarge`) where the limits do not
    suffice, for files that are no intact gzip or Parquet, and whatever reading a file raises.
    """
    ordered = sorted(files, key=lambda file: file.name)
    assembly = Assembly(export_type, output, selection or Selection(window))
    with connect(workdir, replace(limits, threads=1)) as connection:
        connection.execute(REJECTS)
        loaders = make_loaders(connection, workdir, assembly)
        with Workers(connection, limits.threads) as workers:
            load(workers, connection, workdir, loaders, list(enumerate(ordered)))
            tally = _write(workers, connection, workdir, assembly, loaders, target)
        rejected = _write_rejects(connection, [file.name for file in ordered], rejects)
    names: Counter[str] = Counter()
    for loader in loaders.values():
        names += loader.names
    return ExportCounts(
        sum(loader.read for loader in loaders.values()),
        rejected,
        tally.outside + sum(loader.outside for loader in loaders.values()),
        tally.superseded,
        tally.removed,
        tally.exported,
        tally.elements,
        ranked(names),
    )


def make_loaders(connection: DuckDBPyConnection, workdir: Path, assembly: Assembly) -> dict[str, Loading]:
    """What reads each kind of raw data that the type needs; its own kind is the first."""
    declared, joined = assembly.export_type, assembly.export_type.joined
    found = {
        declared.kind: Loading(
            connection, workdir, declared, assembly.output, assembly.selection, table="kept"
        )
    }
    if joined:
        found[joined.kind] = Loading(
            connection, workdir, joined, ExportFormat.JSON, Selection(), table="kept_joined"
        )
    return found


def load(
    workers: Workers,
    connection: DuckDBPyConnection,
    workdir: Path,
    loaders: dict[str, Loading],
    files: Sequence[tuple[int, RawFile]],
) -> None:
    """Reads whole files, each with its number among all."""
    own = next(iter(loaders))
    for (kind, is_parquet), found in groupby(
        files, key=lambda one: (one[1].kind or own, one[1].name.endswith(PARQUET))
    ):
        loader = loaders[kind]
        if not is_parquet:
            lines = (Lines(number, file.lines()) for number, file in found)
            workers.run(loader.lines(parts) for parts in raw_blocks(lines, block_bytes=BLOCK_BYTES))
            continue
        for number, file in found:
            local = workdir / "rows.parquet"
            with local.open("wb") as out:
                out.writelines(file.chunks())
            try:
                ranges = row_ranges(connection, local, file.name)
                workers.run(loader.parquet(number, local, file.name, rows) for rows in ranges)
            finally:
                local.unlink()


def _write(
    workers: Workers,
    connection: DuckDBPyConnection,
    workdir: Path,
    assembly: Assembly,
    loaders: dict[str, Loading],
    target: Path | Sink,
) -> Tally:
    """Writes the file run by run; a run is rendered while the ones before it are written."""
    total = Tally()
    with target.open("wb") if isinstance(target, Path) else nullcontext(target) as out:
        for rendered in rendered_runs(workers, connection, workdir, assembly, list(loaders.values())):
            if rendered.tally.elements:
                out.write((assembly.separator if total.elements else assembly.opening).encode())
                for chunk in rendered.text.chunks():
                    out.write(chunk)
            rendered.text.close()
            total.add(rendered.tally)
        out.write((assembly.ending if total.elements else assembly.empty).encode())
    return total


def rendered_runs(
    workers: Workers,
    connection: DuckDBPyConnection,
    workdir: Path,
    assembly: Assembly,
    loaders: list[Loading],
) -> Iterator[rendering.Rendered]:
    """All that was kept, in runs: in their order, as many at work as there are workers."""
    planned = rendering.runs(sizes(connection, loaders), rendering.run_bytes(assembly.export_type))
    waiting: list[tuple[Future[None], list[rendering.Rendered]]] = []
    for run in planned:
        box: list[rendering.Rendered] = []

        def task(
            _: int, cursor: DuckDBPyConnection, run: rendering.Run = run, box: list[rendering.Rendered] = box
        ) -> None:
            sources = [loader.kept(run.first, run.last) for loader in loaders]
            rendered = rendering.render(cursor, assembly, sources, workdir, run.size)
            box.append(rendered)

        waiting.append((workers.submit(task), box))
        if len(waiting) > workers.count:
            future, ready = waiting.pop(0)
            future.result()
            yield ready[0]
    for future, ready in waiting:
        future.result()
        yield ready[0]


def sizes(connection: DuckDBPyConnection, loaders: Iterable[Loading]) -> list[tuple[int, int]]:
    """(bucket, bytes of text) of all that was kept."""
    found: Counter[int] = Counter()
    for loader in loaders:
        found.update(dict(connection.execute(loader.sizes()).fetchall()))
    return sorted(found.items())


def _write_rejects(connection: DuckDBPyConnection, names: list[str], rejects: Path) -> int:
    count = int(connection.execute("SELECT count(*) FROM reject").fetchall()[0][0])
    if count:
        query = "SELECT part, line, fault, original FROM reject ORDER BY part, line"
        with rejects.open("w", encoding="utf-8", newline="") as out:
            for batch in fetch_batches(connection.execute(query)):
                out.writelines(
                    record_sql.reject_line({"file": names[part], "line": line}, *rest)
                    for part, line, *rest in batch
                )
    return count
