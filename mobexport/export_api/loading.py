"""Fills the table of kept records from raw data, blocks side by side, and counts what became of each line.

One block is one query (`parsing`); a worker is a cursor with a thread, since DuckDB computes without the
GIL. Lines that the query does not vouch for are read again, exactly, in Python (`exact_lines`).
"""

# ruff: noqa: S608 - the names in these queries are checked where types are declared

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from mobexport import json_text
from mobexport.duck import literal, load_rows
from mobexport.export_api import parsing
from mobexport.export_api.exact_lines import Exact, read_exactly
from mobexport.export_api.parquet_rows import bad_parquet, rows_as_lines
from mobexport.export_api.raw_lines import Part
from mobexport.export_api.selection import ExportFormat, Selection
from mobexport.export_types.model import ExportType
from mobexport.record_sql import numbered
from mobexport.text_blocks import MAX_LINE_BYTES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

REJECTS = "CREATE TABLE reject (part INTEGER, line BIGINT, fault VARCHAR, original VARCHAR)"
_REJECT_TYPES = ("INTEGER", "BIGINT", "VARCHAR", "VARCHAR")
_LEARNED = 16  # lines of a block
_MANY = 200  # unusual lines of a block, from which on all fields are looked for
_EXTRA_NAMES = 24
_EXTRA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}(\.[A-Za-z_][A-Za-z0-9_]{0,63})?")
_CSV = (
    "columns = {'text': 'VARCHAR'}, delim = chr(1), quote = '', escape = '', header = false,"
    " auto_detect = false, new_line = '\\n', parallel = false, max_line_size = 524288, buffer_size = 1048576"
)


class Workers:
    """Threads with a cursor each; no task waits, since the caller has the next one at hand."""

    def __init__(self, connection: DuckDBPyConnection, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count)
        self._room = threading.Semaphore(count)
        self._free: SimpleQueue[tuple[int, DuckDBPyConnection]] = SimpleQueue()
        for number in range(count):
            self._free.put((number, connection.cursor()))

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        while not self._free.empty():
            self._free.get()[1].close()

    def run(self, tasks: Iterable[Callable[[int, DuckDBPyConnection], None]]) -> None:
        """Runs tasks (of a worker's number and cursor) side by side. Raises what the first to fail raised."""
        running: list[Future[None]] = []
        for task in tasks:
            self._room.acquire()
            running.append(self._pool.submit(self._one, task))
            running = [future for future in running if not future.done() or future.result()]
        for future in running:
            future.result()

    def submit(self, task: Callable[[int, DuckDBPyConnection], None]) -> Future[None]:
        """One task, for a caller that keeps count of them itself."""
        self._room.acquire()
        return self._pool.submit(self._one, task)

    def _one(self, task: Callable[[int, DuckDBPyConnection], None]) -> None:
        number, cursor = self._free.get()
        try:
            task(number, cursor)
        finally:
            self._free.put((number, cursor))
            self._room.release()


class Loading:
    """Reads raw data of one type into one table."""

    def __init__(
        self,
        connection: DuckDBPyConnection,
        workdir: Path,
        export_type: ExportType,
        output: ExportFormat,
        selection: Selection,
        *,
        table: str = "kept",
    ) -> None:
        self._workdir = workdir
        self._type = export_type
        self._output = output
        self._selection = selection
        self._table = table
        self._columns = parsing.kept_columns(export_type, output)
        declared = {
            *(field.name for field in export_type.fields),
            *(leaf.name for leaf in export_type.leaves),
        }
        self._declared = declared
        self._containers = {field.name for field in export_type.fields if field.members}
        self._extra: tuple[str, ...] = ()
        required = {leaf.name for leaf in export_type.leaves if leaf.required}
        self._absent = frozenset(parsing.names(export_type)) - required
        """Names of tokens that no line was seen to have: most likely the next lines have none of them."""
        self._guarded = False
        """Whether a line was seen that is no JSON."""
        self._lock = threading.Lock()
        self.read = 0
        self.outside = 0
        self.names: Counter[str] = Counter()
        """Unknown fields, with the usable records that had them."""
        columns = ", ".join(f"{name} {kind}" for name, kind in self._columns.items())
        connection.execute(f"CREATE TABLE {table} ({columns})")

    def lines(self, parts: list[Part]) -> Callable[[int, DuckDBPyConnection], None]:
        """The task that reads a block of lines."""

        def task(worker: int, cursor: DuckDBPyConnection) -> None:
            faulty = [
                (part.part, bad.line, bad.rule, bad.original) for part in parts for bad in part.block.spoiled
            ]
            doubtful = [(part.part, line, text) for part in parts for line, text in part.block.long]
            self._count(len(faulty))
            load_rows(cursor, "reject", _REJECT_TYPES, faulty)
            absent = self._learn(parts[0].block.data)
            file = self._workdir / f"block-{worker}"
            if len(parts) == 1 and (data := _simple(parts[0].block.data)) is not None:
                file.write_bytes(data)
                before = parts[0].block.first_line - 1
                place = f"{parts[0].part}::INTEGER AS part, {before} + row_number() OVER () AS line"
                source = f"(SELECT {place}, text FROM read_csv({literal(str(file))}, {_CSV}))"
                try:
                    self._parse(cursor, source, [], doubtful, absent)
                finally:
                    file.unlink()
            else:
                given: list[object] = [
                    value
                    for part in parts
                    for value in (part.part, part.block.first_line, part.block.data.decode())
                ]
                text = "rtrim(text, chr(13)) AS text"
                source = (
                    f"(SELECT source::INTEGER AS part, number AS line, {text} FROM {numbered(len(parts))})"
                )
                self._parse(cursor, source, given, doubtful, absent)

        return task

    def parquet(
        self, part: int, path: Path, name: str, rows: tuple[int, int]
    ) -> Callable[[int, DuckDBPyConnection], None]:
        """The task that reads rows (from the first up to before the second) of a local Parquet file."""

        def task(_: int, cursor: DuckDBPyConnection) -> None:
            import duckdb

            lines = rows_as_lines(cursor, path, name, self._type, rows)
            source = f"(SELECT {part}::INTEGER AS part, line, text FROM ({lines}))"
            try:
                self._parse(cursor, source, [], [], frozenset())
            except duckdb.OutOfMemoryException:
                raise
            except duckdb.Error as error:
                raise bad_parquet(name, error) from None

        return task

    def kept(self, first: int, last: int) -> str:
        """A relation of the kept records of some buckets."""
        return f"(SELECT * FROM {self._table} WHERE bucket BETWEEN {first} AND {last})"

    def take(self, source: str) -> str:
        """A statement that adds kept records which another step has read."""
        columns = ", ".join(self._columns)
        return f"INSERT INTO {self._table} SELECT {columns} FROM {source}"

    def sizes(self) -> str:
        """A query of (bucket, bytes of text)."""
        texts = [name for name, kind in self._columns.items() if kind == "VARCHAR"]
        size = " + ".join(f"coalesce(strlen({name}), 0)" for name in texts)
        return f"SELECT bucket, sum({size} + 64)::BIGINT FROM {self._table} GROUP BY bucket"

    def _parse(
        self,
        cursor: DuckDBPyConnection,
        source: str,
        given: list[object],
        doubtful: list[tuple[int, int, str]],
        absent: frozenset[str],
    ) -> None:
        import duckdb

        extra = self._extra
        given_types = (self._type, self._output, self._selection)
        while True:
            guarded = self._guarded
            query = parsing.typical_records(*given_types, extra, source, absent=absent, guarded=guarded)
            try:
                cursor.execute(f"CREATE OR REPLACE TEMP TABLE parsed AS {query}", given)
            except duckdb.InvalidInputException:
                if guarded:
                    raise
                self._guarded = True
            else:
                break
        doubtful_query = "SELECT part, line, original AS text FROM parsed WHERE NOT plain"
        if unusual := self._keep(cursor, extra):
            if unusual > _MANY:
                with self._lock:
                    self._absent = frozenset()
            cursor.execute(f"CREATE OR REPLACE TEMP TABLE unusual AS {doubtful_query}")
            tokens = parsing.plain_tokens(self._type, extra, "unusual")
            cursor.execute(f"CREATE OR REPLACE TEMP TABLE parsed AS {parsing.records(*given_types, tokens)}")
            if self._keep(cursor, extra):
                doubtful = doubtful + cursor.execute(f"{doubtful_query} ORDER BY part, line").fetchall()
        if doubtful:
            self._read_exactly(cursor, doubtful)

    def _keep(self, cursor: DuckDBPyConnection, extra: tuple[str, ...]) -> int:
        """Moves the good rows of `parsed` to where they belong; how many are not plain."""
        query = """SELECT count(*) FILTER (plain), count(*) FILTER (NOT plain),
        count(*) FILTER (plain AND fault IS NOT NULL), count(*) FILTER (outside), bit_or(more) FROM parsed"""
        plain, doubtful, faulty, outside, more = cursor.execute(query).fetchall()[0]
        columns = ", ".join(self._columns)
        cursor.execute(f"INSERT INTO {self._table} SELECT {columns} FROM parsed WHERE bucket IS NOT NULL")
        if faulty:
            cursor.execute(
                "INSERT INTO reject SELECT part, line, fault, original FROM parsed WHERE fault IS NOT NULL"
            )
        names: Counter[str] = Counter()
        if more:
            bits = ", ".join(f"count(*) FILTER ((more & {1 << n}) > 0)" for n in range(len(extra)))
            query = f"SELECT {bits} FROM parsed WHERE plain AND fault IS NULL"
            names = Counter(dict(zip(extra, cursor.execute(query).fetchall()[0], strict=True)))
        with self._lock:
            self.read += plain
            self.outside += outside
            self.names += names
        return int(doubtful)

    def _read_exactly(self, cursor: DuckDBPyConnection, doubtful: list[tuple[int, int, str]]) -> None:
        faulty: list[tuple[int, int, str, str]] = []
        exact: list[list[object]] = []
        long: list[list[object]] = []
        unknown: dict[tuple[int, int], tuple[str, ...]] = {}
        read = 0
        for part, line, text in doubtful:
            if not text.strip(" \t\r\n"):
                continue
            read += 1
            shown = json_text.shown(text)
            try:
                found = self._exactly(text)
            except json_text.NotJson as verdict:
                faulty.append((part, line, verdict.rule, shown))
                continue
            unknown[part, line] = found.unknown
            (long if found.is_long else exact).append([part, line, shown, *found.tokens])
        self._count(read)
        names = parsing.names(self._type)
        types = ["INTEGER", "BIGINT", "VARCHAR", *["VARCHAR"] * len(names)]
        columns = ", ".join(
            ["part INTEGER, line BIGINT, original VARCHAR", *(f'"t_{n}" VARCHAR' for n in names)]
        )
        load_rows(cursor, "reject", _REJECT_TYPES, faulty)
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE exact ({columns})")
        load_rows(cursor, "exact", types, exact)
        for row in long:
            cursor.execute(f"INSERT INTO exact VALUES ({', '.join('?' * len(row))})", row)
        query = parsing.records(self._type, self._output, self._selection, parsing.exact_tokens(self._type))
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE parsed AS {query}")
        self._keep(cursor, ())
        # Read already: only what became of them was to be counted.
        self._count(-len(unknown))
        faults = cursor.execute("SELECT part, line FROM parsed WHERE fault IS NOT NULL").fetchall()
        for place in faults:
            unknown.pop(place, None)
        with self._lock:
            for found_names in unknown.values():
                self.names.update(found_names)
            self._add_extra(name for found_names in unknown.values() for name in found_names)

    def _exactly(self, text: str) -> Exact:
        if len(text) > MAX_LINE_BYTES or len(text.encode()) > MAX_LINE_BYTES + 1:
            raise json_text.NotJson("too-long")
        return read_exactly(self._type, text)

    def _count(self, read: int) -> None:
        with self._lock:
            self.read += read

    def _learn(self, data: bytes) -> frozenset[str]:
        """Names of fields in the first lines: most likely the next lines have them too, and few others.

        Returns the tokens that are not to be looked for.
        """
        found: set[str] = set()
        for line in data.split(b"\n", _LEARNED)[:_LEARNED]:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if not isinstance(record, dict):
                continue
            found.update(record)
            for container in self._containers:
                if isinstance(record.get(container), dict):
                    found.update(f"{container}.{name}" for name in record[container])
        with self._lock:
            self._absent -= found
            self._add_extra(sorted(found))
            return self._absent

    def _add_extra(self, names: Iterable[str]) -> None:
        for name in names:
            container, dot, _ = name.rpartition(".")
            if (
                name not in self._declared
                and name not in self._extra
                and len(self._extra) < _EXTRA_NAMES
                and _EXTRA_NAME.fullmatch(name)
                and (not dot or container in self._containers)
            ):
                self._extra = (*self._extra, name)


def _simple(data: bytes) -> bytes | None:
    """The lines with plain ends, if no reader of lines could take them for something else."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").removesuffix(b"\r")
    if b"\r" in data or b"\x01" in data or data.startswith(b"\xef\xbb\xbf"):
        return None
    return data
