"""Cost of Delta tables: seconds, memory and storage calls of commits and upkeep, on a table of three years.

Only the table's log is made, since nobody reads its files; compaction has real ones. Each measurement is a
process of its own. Memory is the peak above a worker that can convert files; the import of delta-rs is
included in it, and not in the seconds. Calls are those in the emulator's log. Baselines of the same run:
the same work on an empty table, and for compaction pyarrow on the same bytes. Run by `make bench-tables`.
"""

import argparse
import gc
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import ROOT, hide_what_is_not_deployed, memory, storage_of
from localdev.azurite import Azurite
from mobexport import export_types
from mobexport.heavy import HeavySteps
from mobexport.tables.commit import NewFile, TableCommit

if TYPE_CHECKING:
    from mobexport.storage import DataStorage

CURATED = "curated"
DAYS = [date(2023, 1, 1) + timedelta(days=number) for number in range(3 * 365)]
EVENT = export_types.get("Event")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
CHECKPOINT_AT = 9
LEAST, MOST = "00003f2a-6f5c-4b1e-9d1c-0a1b2c3d4e5f", "ffff81e0-2b7d-4f52-8f3e-5f4e3d2c1b0a"
GOAL_SECONDS, GOAL_MIB = 1.0, 150.0
CALL = re.compile(r'"(?:GET|PUT|POST|DELETE|HEAD) \S+ HTTP')
COMPACT_FILES, COMPACT_ROWS = 40, 25_000


# --- a table of years -------------------------------------------------------------------------------------


def commit_of(app: str, number: int, days: list[date], files: int) -> TableCommit:
    """The n-th export of an app: files with statistics as conversion makes them."""
    name = f"event-{app}-{days[0]}-{days[-1]}-{number:06x}-1"
    found = []
    for day in days:
        stats = {
            "minValues": {"deviceId": LEAST, "timestamp": f"{day}T00:00:01.234Z"},
            "maxValues": {"deviceId": MOST, "timestamp": f"{day}T23:59:58.765Z"},
            "nullCount": {"deviceId": 0, "timestamp": 0, "infoId": 7, "sessionId": 3, "locationId": 9},
        }
        for file in range(files):
            path = f"{app}/Event/date={day}/{name}-{file}.parquet"
            found.append(NewFile(path, day, 52_000, 1_234_567, stats))
    at = BEGIN + timedelta(seconds=number)
    return TableCommit(app, EVENT, name, 1, at, tuple(days), found, manifest=f"_manifests/{app}/{name}.json")


def build(storage: "DataStorage", app: str, files: int, after: int, *, checkpoint: bool) -> None:
    """A table with so many files, and so many commits after the version that has, or lacks, a checkpoint."""
    from mobexport.tables.tables import Tables

    tables, container = Tables(storage), storage.container(CURATED)
    tables.commit(commit_of(app, 0, DAYS[:1], 0))  # versions 0 and 1
    first, counts = 2, [files // len(DAYS) + (number < files % len(DAYS)) for number in range(len(DAYS))]
    per_version = -(-len(DAYS) // (CHECKPOINT_AT + 1 - first))
    for version in range(first, CHECKPOINT_AT + 1):
        span = slice((version - first) * per_version, (version - first + 1) * per_version)
        lines = [
            line
            for day, count in zip(DAYS[span], counts[span], strict=True)
            for line in actions(commit_of(app, 1, [day], count))
        ]
        container.upload_blob(f"{app}/Event/_delta_log/{version:020}.json", "\n".join(lines).encode())
    if checkpoint:
        table = tables.open(f"{app}/Event")
        assert table is not None
        table.create_checkpoint()
    for number in range(after):
        version = CHECKPOINT_AT + 1 + number
        body = "\n".join(actions(commit_of(app, 2 + number, [DAYS[number]], 2))).encode()
        container.upload_blob(f"{app}/Event/_delta_log/{version:020}.json", body)


def actions(commit: TableCommit) -> Iterator[str]:
    """Lines of the log as delta-rs writes them."""
    for day in commit.days:
        yield json.dumps({"txn": {"appId": f"date={day}", "version": commit.order}}, separators=(",", ":"))
    for file in commit.files:
        add = {
            "path": file.path.removeprefix(f"{commit.folder}/"),
            "partitionValues": commit.partition(file.day),
            "size": file.bytes,
            "modificationTime": commit.order,
            "dataChange": True,
            "stats": json.dumps({"numRecords": file.rows, **file.stats}),
        }
        yield json.dumps({"add": add}, separators=(",", ":"))
    yield json.dumps({"commitInfo": {"timestamp": commit.order, "operation": "WRITE"}}, separators=(",", ":"))


def build_small_files(storage: "DataStorage", app: str) -> int:
    """A table with one day in many files; their bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from mobexport.records.columns import schema_of
    from mobexport.tables.tables import Tables

    day, total, files = DAYS[0], 0, []
    for number in range(COMPACT_FILES):
        data = pa.BufferOutputStream()
        pq.write_table(small_table(schema_of(EVENT), number), data, compression="zstd")
        body = data.getvalue().to_pybytes()
        path = f"{app}/Event/date={day}/e-1-{number:02}.parquet"
        storage.container(CURATED).upload_blob(path, body)
        files.append(NewFile(path, day, COMPACT_ROWS, len(body)))
        total += len(body)
    Tables(storage).commit(TableCommit(app, EVENT, "e", 1, BEGIN, (day,), files))
    return total


def small_table(schema: Any, number: int) -> Any:
    import hashlib

    import pyarrow as pa

    ids = [hashlib.md5(f"{number}/{row // 10}".encode()).hexdigest() for row in range(COMPACT_ROWS)]
    at = datetime(2023, 1, 1, tzinfo=UTC)
    return pa.table(
        {
            "app": ["shop"] * COMPACT_ROWS,
            "deviceId": ids,
            "name": [f"name-{row % 40}" for row in range(COMPACT_ROWS)],
            "timestamp": [at + timedelta(milliseconds=row * 3000 + number) for row in range(COMPACT_ROWS)],
            "infoId": ids,
            "sessionId": [one[::-1] for one in ids],
            "locationId": [None] * COMPACT_ROWS,
            "extras": [f'{{"n": {row}, "of": "{ids[row][:8]}"}}' for row in range(COMPACT_ROWS)],
        },
        schema=schema,
    )


# --- one measurement ----------------------------------------------------------------------------------------


def work(storage: "DataStorage", app: str, what: str) -> Callable[[], object]:
    """The work itself; the import of delta-rs is done when it is given back."""
    from mobexport.tables.tables import Tables
    from mobexport.tables.upkeep import TableUpkeep

    tables, folder = Tables(storage), f"{app}/Event"
    keeper = TableUpkeep(tables, HeavySteps(storage), timedelta(days=7))
    if what in ("checkpoint", "vacuum", "compaction"):
        table = tables.open(folder)
        assert table is not None
        return {
            "checkpoint": table.create_checkpoint,
            "vacuum": lambda: keeper._vacuum(table),  # noqa: SLF001
            "compaction": lambda: keeper._compact(table, folder, {"date": str(DAYS[0])}),  # noqa: SLF001
        }[what]
    if what == "commit again":
        tables.commit(commit_of(app, 98, [DAYS[400]], 2))
    return {
        "open": lambda: tables.open(folder),
        "commit a day": lambda: tables.commit(commit_of(app, 99, [DAYS[500]], 2)),
        "commit again": lambda: tables.commit(commit_of(app, 99, [DAYS[500]], 2)),
        "commit a month": lambda: tables.commit(commit_of(app, 99, DAYS[500:531], 2)),
        "pyarrow": lambda: rewrite(storage, app),
    }[what]


def rewrite(storage: "DataStorage", app: str) -> None:
    """What compaction does, as plain as can be: all files in memory, one file out."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    container = storage.container(CURATED)
    names = [blob.name for blob in container.list_blobs(f"{app}/Event/date=")]
    tables = [pq.read_table(io.BytesIO(container.download_blob(name).readall())) for name in names]
    out = io.BytesIO()
    pq.write_table(pa.concat_tables(tables), out, compression="zstd", row_group_size=65_536)
    container.upload_blob(f"{app}/out.parquet", out.getvalue())


def measure_here(connection: str, app: str, what: str) -> dict[str, float]:
    """In this process: seconds, CPU seconds, and MiB above what a worker has that can convert files."""
    hide_what_is_not_deployed()
    import mobexport.export_api.writer.scale_out
    import mobexport.pipeline.process.conversion
    import mobexport.services  # noqa: F401

    storage = storage_of(connection)
    storage.container(CURATED)
    gc.collect()
    idle, began = memory("VmRSS"), time.perf_counter()
    run = work(storage, app, what)
    imported = time.perf_counter() - began
    print("begin", flush=True)
    sys.stdin.readline()  # The calls up to here are not its own.
    began, used = time.perf_counter(), time.process_time()
    run()
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    return {"seconds": seconds, "cpu": cpu, "MiB": memory("VmHWM") - idle, "import": imported}


class Measuring:
    """Measurements over one emulator, whose log tells the calls."""

    def __init__(self, azurite: Azurite, repeats: int) -> None:
        self._azurite, self._repeats = azurite, repeats
        self.storage = storage_of(azurite.connection_string)
        self.rows: dict[str, dict[str, float]] = {}
        self._made = 0

    def row(self, label: str, what: str, make: Callable[[str], object]) -> dict[str, float]:
        """Medians, and the greatest memory, each time with a table of its own."""
        found = []
        for _ in range(self._repeats):
            self._made += 1
            app = f"t{self._made}"
            make(app)
            found.append(self._one(app, what))
        row = {
            "seconds": round(statistics.median(one["seconds"] for one in found), 3),
            "cpu": round(statistics.median(one["cpu"] for one in found), 3),
            "MiB": round(max(one["MiB"] for one in found), 1),
            "calls": statistics.median(one["calls"] for one in found),
            "import": round(statistics.median(one["import"] for one in found), 3),
        }
        self.rows[label] = row
        figures = f"{row['seconds']:8.3f} {row['cpu']:8.3f} {row['MiB']:8.1f} {row['calls']:8.0f}"
        print(f"{label:58} {figures}", flush=True)
        return row

    def _one(self, app: str, what: str) -> dict[str, float]:
        command = [sys.executable, "-m", "benchmarks.tables", "--work", what, "--app", app,
                   "--connection", self._azurite.connection_string]  # fmt: skip
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            assert process.stdin
            if process.stdout.readline() != "begin\n":
                raise SystemExit(f"{what} failed before it began")
            before = self._calls()
            process.stdin.write("\n")
            process.stdin.flush()
            line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{what} failed")
        return {**json.loads(line), "calls": self._calls() - before}

    def _calls(self) -> int:
        """The emulator writes its log a moment later."""
        last = -1
        while (found := len(CALL.findall(self._azurite.log.read_text()))) != last:
            last = found
            time.sleep(0.2)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--app", help=argparse.SUPPRESS)
    parser.add_argument("--connection", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        print(json.dumps(measure_here(chosen.connection, chosen.app, chosen.work)))
        return
    load = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory() as folder,
        Azurite(log=Path(folder) / "azurite.log", access_log=True) as azurite,
    ):
        rows, goals = measure(Measuring(azurite, chosen.repeats), chosen.files)
    about = {"bench": "tables", "files": chosen.files, "days": len(DAYS), "repeats": chosen.repeats,
             "load": load, "load after": os.getloadavg()[0]}  # fmt: skip
    print(json.dumps({**about, "rows": rows, "goals": goals}))


def measure(bench: Measuring, files: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """All rows, and the goals."""
    goals: list[dict[str, Any]] = []

    def table(count: int, after: int = 0, *, checkpoint: bool = True) -> Callable[[str], None]:
        return lambda app: build(bench.storage, app, count, after, checkpoint=checkpoint)

    def goal(label: str, row: dict[str, float]) -> None:
        for what, limit in (("seconds", GOAL_SECONDS), ("MiB", GOAL_MIB)):
            met = row[what] < limit
            goals.append({"row": label, "what": what, "value": row[what], "limit": limit, "met": met})
            print(f"  {'meets' if met else 'MISSES'} {row[what]:g} {what} (goal: below {limit:g})")

    print(f"{len(DAYS)} days; medians of {bench._repeats}, greatest memory, load {os.getloadavg()[0]:.1f}\n")  # noqa: SLF001
    print(f"{'':58} {'s':>8} {'CPU s':>8} {'MiB':>8} {'calls':>8}")
    for count in (0, files, 3 * files):
        name = f"{count:,} files"
        bench.row(f"open, {name}, at a checkpoint", "open", table(count))
        for text, after, there in (
            ("no checkpoint", 0, False),
            ("at a checkpoint", 0, True),
            ("8 commits later", 8, True),
            ("9 commits later, writes one", 9, True),
        ):
            label = f"commit a day, {name}, {text}"
            row = bench.row(label, "commit a day", table(count, after, checkpoint=there))
            if count == files:
                goal(label, row)
        again = f"commit a day, {name}, 8 commits later, its worker's second"
        row = bench.row(again, "commit again", table(count, 6))
        if count == files:
            goal(again, row)
        bench.row(f"commit a month, {name}, 8 commits later", "commit a month", table(count, 8))
        bench.row(f"checkpoint, {name}, 8 commits later", "checkpoint", table(count, 8))
        bench.row(f"vacuum with nothing to delete, {name}", "vacuum", table(count, 0))
    sizes: list[int] = []
    name = f"compaction, {COMPACT_FILES} files of {COMPACT_ROWS:,} rows"
    row = bench.row(name, "compaction", lambda app: sizes.append(build_small_files(bench.storage, app)))
    row["input MiB"] = round(sizes[0] / 2**20, 1)
    print(f"  {row['input MiB']} MiB, {row['input MiB'] / row['seconds']:.1f} MiB/s")
    bench.row("  pyarrow, the same", "pyarrow", lambda app: build_small_files(bench.storage, app))
    return bench.rows, goals


if __name__ == "__main__":
    main()
