"""A reader of Delta tables that shares nothing with delta-rs or the app: it replays the log.

Source: https://github.com/delta-io/delta/blob/master/PROTOCOL.md, *Delta Log Entries* and *Checkpoints*.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

import duckdb
from azure.storage.blob import ContainerClient

CURATED = "curated"


@dataclass
class Log:
    """A table as its log has it."""

    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Active files by path below the table: partitionValues, size, stats."""
    transactions: dict[str, int] = field(default_factory=dict)
    commits: list[dict[str, Any]] = field(default_factory=list)
    """What each commit says of itself, oldest first; of those before the checkpoint nothing."""
    metadata: dict[str, Any] = field(default_factory=dict)
    version: int = -1

    def paths(self, day: str | None = None) -> list[str]:
        """Paths of the active files, of one day or of all."""
        wanted = [
            path
            for path, file in self.files.items()
            if day is None or day in file["partitionValues"].values()
        ]
        return sorted(wanted)


def read_log(container: ContainerClient, folder: str) -> Log:
    """The newest version of a table; an empty one if there is no table."""
    log = Log()
    prefix = f"{folder}/_delta_log/"
    names = [blob.name.removeprefix(prefix) for blob in container.list_blobs(name_starts_with=prefix)]
    checkpoints = [name for name in names if re.fullmatch(r"\d{20}\.checkpoint\.parquet", name)]
    first = 0
    if checkpoints:
        newest = max(checkpoints)
        first = int(newest[:20]) + 1
        for action in _checkpoint(container.download_blob(prefix + newest).readall()):
            _apply(log, action)
        log.version = first - 1
    for number in range(first, 10**6):
        name = f"{number:020}.json"
        if name not in names:
            break
        for line in container.download_blob(prefix + name).readall().splitlines():
            _apply(log, json.loads(line))
        log.version = number
    return log


def rows_of(container: ContainerClient, folder: str, query: str, day: str | None = None) -> list[Any]:
    """A DuckDB query over `files`, the active files; those of one day or all."""
    paths = read_log(container, folder).paths(day)
    if not paths:
        return []
    with TemporaryDirectory() as temporary:
        local = []
        for number, path in enumerate(paths):
            file = Path(temporary) / f"{number}.parquet"
            file.write_bytes(container.download_blob(f"{folder}/{path}").readall())
            local.append(str(file))
        source = "read_parquet($1, hive_partitioning = false, union_by_name = true)"
        return duckdb.execute(query.replace("files", source), [local]).fetchall()


def _checkpoint(data: bytes) -> Iterator[dict[str, Any]]:
    with TemporaryDirectory() as temporary:
        file = Path(temporary) / "checkpoint.parquet"
        file.write_bytes(data)
        for add, txn, metadata in duckdb.sql(
            f"SELECT to_json(add), to_json(txn), to_json(metaData) FROM '{file}'"
        ).fetchall():
            for name, value in (("add", add), ("txn", txn), ("metaData", metadata)):
                found = json.loads(value) if value else None
                if found and found.get("path" if name == "add" else "appId" if name == "txn" else "id"):
                    yield {name: found}


def _apply(log: Log, action: dict[str, Any]) -> None:
    match action:
        case {"add": add}:
            log.files[unquote(add["path"])] = add
        case {"remove": remove}:
            log.files.pop(unquote(remove["path"]), None)
        case {"txn": txn}:
            log.transactions[txn["appId"]] = txn["version"]
        case {"metaData": metadata}:
            log.metadata = metadata
        case {"commitInfo": info}:
            log.commits.append(info)
