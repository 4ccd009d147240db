"""Speed of the conversion to Parquet, beside pandas, DuckDB, Polars and pyarrow, which check nothing.

`python -m benchmarks.convert` makes export files with the app's own writer, runs every row in a process of
its own, baselines in between, and prints a table and one line of JSON. `--events` and `--large-mb` make it
smaller; `--no-azurite` leaves the row with the storage emulator out.

All have one thread. DuckDB stands there twice: as one writes it first, and told the columns, which spares it
to look for them and to take the events' own data apart.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import export
from benchmarks.measuring import (
    CHUNK,
    Bench,
    Result,
    Task,
    Way,
    as_deployed,
    azurite,
    chunks_of,
    memory,
    storage_of,
)
from benchmarks.raw_data import DAY, make_events

FASTER = 1.5
PRETTY = 0.4
CSV = 0.4
PARTS = 1.5
LOOK = 0.2
PARQUET = "application/vnd.apache.parquet"
COLUMNS = """{deviceId: 'VARCHAR', events: 'STRUCT(name VARCHAR, "timestamp" TIMESTAMPTZ, infoId VARCHAR,
    sessionId VARCHAR, locationId VARCHAR, extras JSON)[]'}"""


# --- export files -------------------------------------------------------------------------------------------


def pretty(task: Task, folder: Path) -> Callable[[], Result]:
    """The same JSON over many lines."""

    def run() -> Result:
        found = json.loads(Path(task["file"]).read_text("utf-8"))
        with (folder / "target").open("w", encoding="utf-8") as out:
            out.write(json.dumps(found, ensure_ascii=False, indent=1))
        return {}

    return run


def make_files(bench: Bench, folder: Path) -> dict[str, Path]:
    """The nested JSON file with an element a line, the same file over many lines, the CSV file."""
    raw = folder / "events" / "a.ndjson"
    make_events(raw, bench.events, random.Random(7))
    files = {name: folder / name for name in ("nested.json", "pretty.json", "events.csv")}
    write = {"way": "ours", "type": "Event", "files": [str(raw)]}
    for name, output in (("nested.json", "JsonBlob"), ("events.csv", "CsvBlob")):
        bench.measured({**write, "output": output}, keep=files[name])
    bench.measured({"way": "pretty", "file": str(files["nested.json"])}, keep=files["pretty.json"])
    return files


# --- baselines ----------------------------------------------------------------------------------------------


def pandas(task: Task, folder: Path) -> Callable[[], Result]:
    """json_normalize: everything in memory."""
    import pandas as pd
    import pandas.core.arrays.arrow.extension_types
    import pyarrow as pa
    import pyarrow.pandas_compat
    import pyarrow.parquet
    import pyarrow.vendored.version

    pa.set_cpu_count(1)

    def run() -> Result:
        with Path(task["file"]).open(encoding="utf-8") as data:
            frame = pd.json_normalize(json.load(data), "events", ["deviceId"])
        frame.to_parquet(folder / "target", compression="zstd")
        return {"rows": len(frame)}

    return run


def duckdb(task: Task, folder: Path) -> Callable[[], Result]:
    """read_json and unnest; `columns` tells it what there is."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    more = f", columns={task['columns']}" if "columns" in task else ""
    read = f"read_json('{task['file']}', format='array', maximum_object_size=100000000{more})"
    query = (
        f"COPY (SELECT deviceId, unnest(events, recursive := true) FROM {read})"
        f" TO '{folder / 'target'}' (FORMAT parquet, COMPRESSION zstd)"
    )
    return lambda: {"rows": connection.execute(query).fetchall()[0][0]}


def polars(task: Task, folder: Path) -> Callable[[], Result]:
    """read_json, explode and unnest: everything in memory."""
    import polars as pl
    import polars._utils.parquet

    assert pl.thread_pool_size() == 1

    def run() -> Result:
        frame = pl.read_json(task["file"]).explode("events").unnest("events")
        frame.write_parquet(folder / "target", compression="zstd")
        return {"rows": frame.height}

    return run


def pyarrow(task: Task, folder: Path) -> Callable[[], Result]:
    """open_csv, batch by batch; with blocks of the size that it likes best."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    pa.set_cpu_count(1)
    reading = csv.ReadOptions(use_threads=False, block_size=CHUNK)
    parsing = csv.ParseOptions(newlines_in_values=True)

    def run() -> Result:
        rows = 0
        with (
            csv.open_csv(task["file"], read_options=reading, parse_options=parsing) as batches,
            parquet.ParquetWriter(folder / "target", batches.schema, compression="zstd") as out,
        ):
            for batch in batches:
                out.write_batch(batch)
                rows += batch.num_rows
        return {"rows": rows}

    return run


# --- ours ---------------------------------------------------------------------------------------------------


@as_deployed
def convert(task: Task, folder: Path) -> Callable[[], Result]:
    """A local file to local files; `copies` repeat the elements within the one array."""
    write = _converter(task, folder)

    def run() -> Result:
        return _counts(write(_repeated(Path(task["file"]), task.get("copies", 1))))

    return run


@as_deployed
def look(task: Task, _: Path) -> Callable[[], Result]:
    """Finding the parts alone: what a file in parts costs more."""
    from mobexport import export_types
    from mobexport.pipeline.process.conversion import cut_file

    file = Path(task["file"])
    part_bytes = -(-file.stat().st_size // 2)
    return lambda: {"parts": len(cut_file(export_types.get("Event"), chunks_of(file), part_bytes).parts)}


@as_deployed
def in_parts(task: Task, folder: Path) -> Callable[[], Result]:
    """The same file: one look over it, then two parts in two processes."""
    from mobexport import export_types
    from mobexport.pipeline.process.conversion import cut_file

    file = Path(task["file"])
    part_bytes = -(-file.stat().st_size // 2)
    writers = []
    for number in range(2):
        own = folder / f"{number}"
        own.mkdir()
        writers.append(_converter({**task, "stem": f"bench-{number}"}, own, folder / "target"))
    # Made before the clock starts, as an instance that waits for work.
    pool = get_context("fork").Pool(2, _hold, (writers, file))
    pool.map(_ready, range(2), chunksize=1)

    def run() -> Result:
        used = time.process_time()
        cut = cut_file(export_types.get("Event"), chunks_of(file), part_bytes)
        assert len(cut.parts) == 2
        done = pool.starmap(_part, enumerate(cut.parts), chunksize=1)
        looked = time.process_time() - used
        return {
            "rows": sum(one["rows"] for one in done),
            "cpu": looked + sum(one["cpu"] for one in done),
            "path": looked + max(one["cpu"] for one in done),
            "peak": max(one["peak"] for one in done),
        }

    return run


_held: tuple[Any, Path]


def _hold(*what: Any) -> None:
    global _held
    _held = what


def _ready(_: int) -> None:
    time.sleep(0.1)


def _part(number: int, part: Any) -> Result:
    writers, file = _held
    used, idle = time.process_time(), memory("VmRSS")
    found = _counts(writers[number](chunks_of(file, part.begin), part=part))
    return {**found, "cpu": time.process_time() - used, "peak": memory("VmHWM") - idle}


def _converter(task: Task, folder: Path, target: Path | None = None) -> Callable[..., Any]:
    """The converter with all that it imports: what makes Parquet files in `target` of chunks."""
    from mobexport import export_types
    from mobexport.pipeline.process.conversion import convert_file
    from mobexport.records.formats import ExportFormat
    from mobexport.records.limits import Limits

    (folder / "work").mkdir()
    return partial(
        convert_file,
        export_types.get("Event"),
        app="bench",
        window=(DAY, DAY),
        snapshot_day=None,
        strict=False,
        stem=task.get("stem", "bench"),
        out_dir=target or folder / "target",
        workdir=folder / "work",
        limits=Limits(),
        file_format=ExportFormat(task["format"]),
    )


def _counts(conversion: Any) -> Result:
    assert conversion.records == conversion.rows
    assert not conversion.rejected
    return {"rows": conversion.rows}


def _repeated(path: Path, copies: int) -> Iterator[bytes]:
    """The file; or one array with its elements so many times."""
    if copies == 1:
        yield from chunks_of(path)
        return
    size = path.stat().st_size
    tail = b"".join(chunks_of(path, size - 16))
    end = size - 16 + tail.rindex(b"]")
    for number in range(copies):
        yield b"," if number else b"["
        yield from chunks_of(path, 1, end)
    yield b"]"


# --- on Azurite ---------------------------------------------------------------------------------------------


def put(task: Task, _: Path) -> Callable[[], Result]:
    """The export file as a collected blob."""
    storage = storage_of(task["connection"])
    file = Path(task["file"])

    def run() -> Result:
        storage.upload_file("exports", file.name, file, "application/json")
        return {}

    return run


def transfer(task: Task, _: Path) -> Callable[[], Result]:
    """The bytes of the blob down, those of the Parquet files up, and nothing else."""
    storage = storage_of(task["connection"])
    blob = next(storage.list_blobs("exports", Path(task["file"]).name))
    storage.container("curated")

    def run() -> Result:
        for _ in storage.read_chunks("exports", blob):
            pass
        return {"files": _upload(storage, "bare", Path(task["parquet"]))}

    return run


@as_deployed
def end_to_end(task: Task, folder: Path) -> Callable[[], Result]:
    """From the blob to blobs, as the pipeline's step does it."""
    storage = storage_of(task["connection"])
    blob = next(storage.list_blobs("exports", Path(task["file"]).name))
    storage.container("curated")
    write = _converter(task, folder)

    def run() -> Result:
        found = _counts(write(storage.read_chunks("exports", blob)))
        return {**found, "files": _upload(storage, "ours", folder / "target")}

    return run


def _upload(storage: Any, prefix: str, folder: Path) -> int:
    files = sorted(folder.rglob("*.parquet"))
    for path in files:
        storage.upload_file("curated", f"{prefix}/{path.relative_to(folder)}", path, PARQUET)
    return len(files)


# --- the run ------------------------------------------------------------------------------------------------

WAYS: dict[str, Way] = {
    way.__name__: way
    for way in (
        *(export.ours, pretty, pandas, duckdb, polars, pyarrow, convert, look, in_parts),
        *(put, transfer, end_to_end),
    )
}


def task_of(way: str, file: Path, **more: Any) -> Task:
    """A task over one export file."""
    form = "CsvBlob" if file.suffix == ".csv" else "JsonBlob"
    return {"way": way, "file": str(file), "format": form, **more}


def main() -> None:
    bench = Bench("benchmarks.convert", WAYS, __doc__)
    with tempfile.TemporaryDirectory(prefix="bench-convert-") as name:
        data = Path(name)
        files = make_files(bench, data)
        nested = files["nested.json"]
        computed = nested_row(bench, nested)
        pretty_row(bench, files["pretty.json"], computed)
        parts_row(bench, nested)
        csv_row(bench, files["events.csv"])
        if bench.azurite:
            with azurite() as connection:
                on_azurite(bench, nested, data / "parquet", computed, connection)
        bench.growth("nested JsonBlob, growing", megabytes(nested), task_of("convert", nested))
    bench.finish()


def nested_row(bench: Bench, file: Path) -> Result:
    """An element a line: ours beside everybody."""
    ways = {
        "pandas": task_of("pandas", file),
        "DuckDB": task_of("duckdb", file),
        "DuckDB, columns given": task_of("duckdb", file, columns=COLUMNS),
        "Polars": task_of("polars", file),
        "ours": task_of("convert", file),
    }
    found = bench.row("nested JsonBlob", megabytes(file), ways)
    check_rows(bench, found)
    ours = found["ours"]
    for label in ("DuckDB", "DuckDB, columns given"):
        bench.at_most(1, ours["cpu"] / found[label]["cpu"], f"times the CPU seconds of {label}")
        bench.at_least(FASTER, ours["mb_s"] / found[label]["mb_s"], f"times the MB/s of {label}")
    bench.peak(ours)
    return ours


def pretty_row(bench: Bench, file: Path, one_line: Result) -> None:
    """The same elements over many lines."""
    found = bench.row("pretty-printed", megabytes(file), {"ours": task_of("convert", file)})
    check_rows(bench, found)
    times = found["ours"]["mb_s"] / one_line["mb_s"]
    bench.at_least(PRETTY, times, "times the MB/s of an element a line")
    bench.peak(found["ours"])


def parts_row(bench: Bench, file: Path) -> None:
    """One file in two parts on two cores, beside one process on one."""
    ways = {"whole": task_of("convert", file), "the look": task_of("look", file)}
    found = bench.row("in two parts", megabytes(file), {**ways, "two parts": task_of("in_parts", file)})
    check_rows(bench, {label: found[label] for label in ("whole", "two parts")})
    times = found["two parts"]["mb_s"] / found["whole"]["mb_s"]
    bench.at_least(PARTS, times, "times the MB/s of one process")
    path = found["whole"]["cpu"] / found["two parts"]["path"]
    bench.at_least(PARTS, path, "times as fast by CPU seconds: the look, then the longer part")
    bench.at_most(LOOK, found["the look"]["cpu"] / found["whole"]["cpu"], "of the CPU seconds for the look")
    bench.peak(found["two parts"])


def csv_row(bench: Bench, file: Path) -> None:
    """CSV: ours beside pyarrow."""
    ways = {"pyarrow": task_of("pyarrow", file), "ours": task_of("convert", file)}
    found = bench.row("CsvBlob", megabytes(file), ways)
    check_rows(bench, found)
    bench.at_least(CSV, found["ours"]["mb_s"] / found["pyarrow"]["mb_s"], "times the MB/s of pyarrow")
    bench.peak(found["ours"])


def on_azurite(bench: Bench, file: Path, parquet: Path, computed: Result, connection: str) -> None:
    """A blob to blobs: the same files; `parquet` becomes a folder with them."""
    bench.measured(task_of("convert", file), keep=parquet)
    given = {"connection": connection, "parquet": str(parquet)}
    bench.measured(task_of("put", file, **given))
    bare, whole = (task_of(way, file, **given) for way in ("transfer", "end_to_end"))
    found = bench.end_to_end("nested JsonBlob on Azurite", megabytes(file), computed, bare, whole)
    assert found["md5"] == computed["md5"]


def megabytes(file: Path) -> float:
    """Its size, in millions of bytes."""
    return file.stat().st_size / 1e6


def check_rows(bench: Bench, found: Mapping[str, Result]) -> None:
    """All must have found all events."""
    assert {label: one["rows"] for label, one in found.items()} == dict.fromkeys(found, bench.events)


if __name__ == "__main__":
    main()
