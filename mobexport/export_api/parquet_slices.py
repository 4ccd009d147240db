"""Reads some row groups of a large Parquet file, without the rest of it.

A sparse local copy has the file's size, its footer, and the bytes of the row groups that are needed (and
their neighbours, which the reader may look into at the edges).
"""

# ruff: noqa: S608 - paths are quoted

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mobexport.duck import literal
from mobexport.export_api.parquet_rows import bad_parquet

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_TAIL = 64 * 1024
_MAGIC = b"PAR1"

Read = Callable[[int, int], Iterator[bytes]]


def footer_copy(read: Read, size: int, name: str, path: Path) -> None:
    """A sparse copy with the footer alone. Raises DataError if there is none."""
    start = max(size - _TAIL, 0)
    tail = b"".join(read(start, size))
    if len(tail) < 12 or tail[-4:] != _MAGIC:
        raise bad_parquet(name, ValueError("it does not end like one"))
    footer = int.from_bytes(tail[-8:-4], "little") + 8
    if footer > size - 4:
        raise bad_parquet(name, ValueError("its footer is larger than the file"))
    if footer > len(tail):
        start = size - footer
        tail = b"".join(read(start, size))
    with path.open("wb") as out:
        out.write(_MAGIC)
        out.truncate(size)
        out.seek(start)
        out.write(tail)


def row_groups(connection: DuckDBPyConnection, path: Path, name: str) -> list[tuple[int, int, int]]:
    """(rows, first byte, end) of each row group of a file of which only the footer is needed."""
    import duckdb

    query = f"""
SELECT any_value(row_group_num_rows),
    min(least(coalesce(nullif(dictionary_page_offset, 0), data_page_offset), data_page_offset)),
    max(least(coalesce(nullif(dictionary_page_offset, 0), data_page_offset), data_page_offset)
        + total_compressed_size)
FROM parquet_metadata({literal(str(path))}) GROUP BY row_group_id ORDER BY row_group_id"""
    try:
        return [
            (int(rows), int(first), int(end)) for rows, first, end in connection.execute(query).fetchall()
        ]
    except duckdb.Error as error:
        raise bad_parquet(name, error) from None


def add_rows(read: Read, groups: list[tuple[int, int, int]], rows: tuple[int, int], path: Path) -> None:
    """Fills a sparse copy with what the rows from the first up to before the second need."""
    row = 0
    wanted = set()
    for n, (count, _, _) in enumerate(groups):
        if row < rows[1] and rows[0] < row + count:
            wanted |= {n - 1, n, n + 1}
        row += count
    with path.open("r+b") as out:
        for n, (_, first, end) in enumerate(groups):
            if n in wanted:
                out.seek(first)
                for chunk in read(first, end):
                    out.write(chunk)
