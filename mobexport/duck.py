"""DuckDB within the limits of one instance: memory, temporary disk, no extensions, no network.

Imported by steps only: `import duckdb` is kept out of cold start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobexport.errors import DataError
from mobexport.json_text import quote

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class DuckLimits:
    """Megabytes of memory and of temporary files; threads (more than one gains nothing, and costs memory)."""

    memory_mb: int = 768
    temp_mb: int = 400
    threads: int = 1


@contextmanager
def connect(
    workdir: Path, limits: DuckLimits, *, writable: Sequence[Path] = ()
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A fresh database for one step, closed at the end of the `with` block.

    Tables live in memory and spill into `workdir`, so that one limit, `temp_mb`, holds for all that a step
    puts on the disk. Files outside of `workdir` and `writable` cannot be opened, whatever a query says.
    Raises DataError (`TooLarge`) from within the block when the limits do not suffice.
    """
    import duckdb

    spill = workdir / "spill"
    spill.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{limits.memory_mb}MB",
            "temp_directory": str(spill),
            "max_temp_directory_size": f"{limits.temp_mb}MB",
            "threads": limits.threads,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "preserve_insertion_order": True,
        },
    )
    try:
        folders = ", ".join(literal(str(folder.resolve())) for folder in (workdir, *writable))
        connection.execute("SET timezone = 'UTC'")
        connection.execute(f"SET allowed_directories = [{folders}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    except duckdb.OutOfMemoryException as error:
        raise DataError(
            f"the data does not fit into {limits.memory_mb} MB of memory and {limits.temp_mb} MB of temporary"
            " disk: raise DUCKDB_MEMORY_MB or DUCKDB_TEMP_MB, or ask for fewer days",
            code="TooLarge",
        ) from error
    finally:
        connection.close()


def literal(text: str) -> str:
    """`text` as a string literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def load_rows(
    connection: duckdb.DuckDBPyConnection, table: str, types: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Appends rows of JSON values to a table, in one statement.

    `executemany` takes 100 µs a row, which hurts when every line of a file is faulty.
    """
    text = "\n".join(quote(row) for row in rows)
    if not text:
        return
    columns = ", ".join(f"v[{n}]::{kind}" for n, kind in enumerate(types, start=1))
    paths = [f"$[{n}]" for n in range(len(types))]
    connection.execute(
        f"INSERT INTO {table} SELECT {columns} FROM (SELECT json_extract_string(line, {paths}) AS v"  # noqa: S608
        " FROM (SELECT unnest(string_split(?, chr(10))) AS line))",
        [text],
    )


def fetch_batches(result: duckdb.DuckDBPyConnection, size: int = 20_000) -> Iterator[list[Any]]:
    """The rows of a result in batches: the whole is never in Python's memory."""
    while batch := result.fetchmany(size):
        yield batch
