"""Files that count, as an open table has them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

DAY_COLUMNS: Final = ("date", "snapshot")


@dataclass(frozen=True)
class ActiveFile:
    """A Parquet file that counts."""

    path: str
    """Below the table's folder."""
    bytes: int
    partition: Mapping[str, str]
    """Values of the partition columns: the day, of Push the campaign type too."""
    rows: int = 0


def active_files(table: DeltaTable, days: Collection[date] | None = None) -> list[ActiveFile]:
    """Those of the days, or all; by path. Only these become Python objects: a table of years has 10,000."""
    found: Any = pa.table(table.get_add_actions()).select(["path", "size_bytes", "num_records", "partition"])
    if days is not None and len(found):
        column = next(name for name in DAY_COLUMNS if name in _names(found))
        day = pc.struct_field(found["partition"].combine_chunks(), column)
        found = found.filter(pc.is_in(day, value_set=pa.array(sorted(days), pa.date32())))
    files = [
        ActiveFile(
            row["path"],
            row["size_bytes"],
            {name: str(value) for name, value in row["partition"].items()},
            row["num_records"] or 0,
        )
        for row in found.to_pylist()
    ]
    return sorted(files, key=lambda file: file.path)


def _names(found: Any) -> list[str]:
    kind = found.schema.field("partition").type
    return [kind.field(number).name for number in range(kind.num_fields)]
