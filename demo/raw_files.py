"""Raw files from made-up records: folders by day, parts, and the three formats mixed."""

import gzip
import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb

Json = dict[str, object]

PART_LINES = 600
FORMATS = ("ndjson", "ndjson.gz", "ndjson", "parquet")
RAW_JSON = {"extras": "VARCHAR", "value": "JSON"}
TYPES = {str: "VARCHAR", bool: "BOOLEAN", int: "BIGINT"}


@dataclass
class Files:
    """The lines of one app and kind, by folder, in the order in which they will stand there."""

    typed_times: bool
    """Whether Parquet has times as TIMESTAMP, or as the text that lines have."""
    by_day: dict[date, list[bytes | Json]] = field(default_factory=lambda: defaultdict(list))

    def add(self, folder: date, line: bytes | Json) -> None:
        """Append a record, or a line that is none."""
        self.by_day[folder].append(line)

    def write(self, root: Path) -> int:
        """Write the folders below `root`; how many lines and rows there are."""
        for day, lines in sorted(self.by_day.items()):
            folder = root / day.isoformat()
            folder.mkdir(parents=True)
            for part, start in enumerate(range(0, len(lines), PART_LINES)):
                written_as = FORMATS[(day.toordinal() + part) % len(FORMATS)]
                self._write_part(folder, f"part-{part}", written_as, lines[start : start + PART_LINES])
        return sum(len(lines) for lines in self.by_day.values())

    def _write_part(self, folder: Path, name: str, written_as: str, lines: list[bytes | Json]) -> None:
        if written_as == "parquet":
            # A bad line cannot be a row: it stays a line.
            rows = [line for line in lines if isinstance(line, dict)]
            lines = [line for line in lines if isinstance(line, bytes)]
            if rows:
                write_parquet(folder / f"{name}.parquet", rows, typed_times=self.typed_times)
            written_as = "ndjson"
        if lines:
            # No newline after the last line: collectors that join lines leave it out.
            content = b"\n".join(line if isinstance(line, bytes) else dump(line) for line in lines)
            zipped = gzip.compress(content, mtime=0) if written_as.endswith(".gz") else content
            (folder / f"{name}.{written_as}").write_bytes(zipped)


def dump(record: Json) -> bytes:
    """A record as a line."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def write_parquet(file: Path, rows: list[Json], *, typed_times: bool) -> None:
    """A column a field: texts, numbers, flags, structs; `extras` as JSON text, `value` as JSON."""
    as_text = [row | {"extras": dump(row["extras"]).decode()} if "extras" in row else row for row in rows]  # type: ignore[arg-type]
    structure = _structure(as_text)
    times = [name for name in structure if name in ("timestamp", "start", "end")] if typed_times else []
    replaced = ", ".join(f'"{name}"::TIMESTAMPTZ::TIMESTAMP AS "{name}"' for name in times)
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET timezone = 'UTC'")
        connection.execute(
            "CREATE TABLE line AS SELECT unnest(string_split($1, chr(10))) AS text",
            ["\n".join(dump(row).decode() for row in as_text)],
        )
        columns = f"unnest(json_transform(text, '{json.dumps(structure)}'))"
        query = f"SELECT * {f'REPLACE ({replaced})' if times else ''} FROM (SELECT {columns} FROM line)"
        connection.execute(f"COPY ({query}) TO '{file}' (FORMAT parquet)")


def _structure(rows: list[Json]) -> dict[str, object]:
    """The columns of the rows and their types."""
    found: dict[str, list[object]] = {}
    for row in rows:
        for name, value in row.items():
            there = found.setdefault(name, [])
            if value is not None:
                there.append(value)
    return {name: RAW_JSON.get(name) or _type(values) for name, values in found.items()}


def _type(values: list[object]) -> object:
    inner = [value for value in values if isinstance(value, dict)]
    return _structure(inner) if inner else TYPES[type(values[0])] if values else "VARCHAR"
