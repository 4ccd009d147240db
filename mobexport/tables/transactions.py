"""Read what our commits left in a table's log: application transactions, all at once, and the manifest.

A table has one transaction for each day, and its version is the time of the newest request (see `tables.py`).
delta-rs reads the log anew for each one that it is asked for: 12 calls a day, nine commits after a
checkpoint. Here it is one call for the checkpoint's name, one for the checkpoint, one for each commit since.

Source: https://github.com/delta-io/delta/blob/master/PROTOCOL.md, *Last Checkpoint File*, *Checkpoints*.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from azure.core.exceptions import ResourceNotFoundError

from mobexport.errors import Transient

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

_LOOKED_AT: Final = 10


def last_checkpoint(container: ContainerClient, folder: str) -> int | None:
    """Version of the newest checkpoint; None if there is none."""
    hint = _read(container, f"{folder}/_delta_log/_last_checkpoint")
    return None if hint is None else int(json.loads(hint)["version"])


def read_transactions(container: ContainerClient, folder: str, version: int) -> dict[str, int]:
    """Version of each transaction by its name, as of that version of the table, or of a newer checkpoint.

    Raises Transient if the log changes under the reader.
    """
    log = f"{folder}/_delta_log"
    checkpoint = last_checkpoint(container, folder)
    found: dict[str, int] = {}
    if checkpoint is not None:
        found = _of_checkpoint(_must(container, f"{log}/{checkpoint:020}.checkpoint.parquet"))
    for number in range(0 if checkpoint is None else checkpoint + 1, version + 1):
        for line in _must(container, f"{log}/{number:020}.json").splitlines():
            if b'"txn"' in line and (one := json.loads(line).get("txn")):
                found[one["appId"]] = int(one["version"])
    return found


def last_manifest(container: ContainerClient, folder: str) -> str | None:
    """Path of the manifest of the newest commit that has one, among the last few; None if none has.

    A list and a read; delta-rs would open the table first.
    """
    log = f"{folder}/_delta_log/"
    names = [name for name in container.list_blob_names(name_starts_with=log) if name.endswith(".json")]
    for name in sorted(names, reverse=True)[:_LOOKED_AT]:
        for line in (_read(container, name) or b"").splitlines():
            if b'"commitInfo"' in line and (found := json.loads(line)["commitInfo"].get("manifest")):
                return str(found)
    return None


def _of_checkpoint(data: bytes) -> dict[str, int]:
    column: Any = pq.read_table(pa.BufferReader(data), columns=["txn"], use_threads=False)["txn"]
    return {one["appId"]: one["version"] for one in column.drop_null().to_pylist() if one["appId"]}


def _must(container: ContainerClient, name: str) -> bytes:
    found = _read(container, name)
    if found is None:
        raise Transient(f"curated/{name} is gone: the log was shortened while it was read")
    return found


def _read(container: ContainerClient, name: str) -> bytes | None:
    try:
        return bytes(container.download_blob(name).readall())
    except ResourceNotFoundError:
        return None
