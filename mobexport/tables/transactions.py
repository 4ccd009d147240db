"""Read what our commits left in a table's log: application transactions, all at once, and the manifest.

A table has one transaction for each day, and its version is the time of the newest request (see `tables.py`).
delta-rs reads the log anew for each one that it is asked for: 12 calls a day, nine commits after a
checkpoint. Here it is one call for the checkpoint's name, one for the checkpoint, one for each commit since.

Source: https://github.com/delta-io/delta/blob/master/PROTOCOL.md, *Last Checkpoint File*, *Checkpoints*.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
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
    return None if hint is None else int(json.loads(hint.data)["version"])


@dataclass(frozen=True)
class Transactions:
    """Application transactions of a table, as of a version of it."""

    version: int
    known: Mapping[str, int]
    """Version of each by its name."""
    etag: str | None
    """Of that version's commit; None if a checkpoint told of it."""

    def still_hold(self, container: ContainerClient, folder: str) -> bool:
        """Whether the table has this log still, and is not another one under the same name."""
        if self.etag is None:
            return False
        try:
            found = container.get_blob_client(_commit(folder, self.version)).get_blob_properties()
        except ResourceNotFoundError:
            return False
        return found.etag == self.etag


def read_transactions(
    container: ContainerClient, folder: str, version: int, since: Transactions | None = None
) -> Transactions:
    """Transactions as of that version of the table, or of a newer checkpoint; `since`: what is known already.

    Raises Transient if the log changes under the reader.
    """
    last, found, etag = -1, dict[str, int](), None
    if since is not None:
        last, found, etag = since.version, dict(since.known), since.etag
    elif (checkpoint := last_checkpoint(container, folder)) is not None:
        last = checkpoint
        found = _of_checkpoint(
            _must(container, f"{folder}/_delta_log/{checkpoint:020}.checkpoint.parquet").data
        )
    for number in range(last + 1, version + 1):
        commit = _must(container, _commit(folder, number))
        last, etag = number, commit.etag
        for line in commit.data.splitlines():
            if b'"txn"' in line and (one := json.loads(line).get("txn")):
                found[one["appId"]] = int(one["version"])
    return Transactions(last, found, etag)


def last_manifest(container: ContainerClient, folder: str) -> str | None:
    """Path of the manifest of the newest commit that has one, among the last few; None if none has.

    A list and a read; delta-rs would open the table first.
    """
    log = f"{folder}/_delta_log/"
    names = [name for name in container.list_blob_names(name_starts_with=log) if name.endswith(".json")]
    for name in sorted(names, reverse=True)[:_LOOKED_AT]:
        commit = _read(container, name)
        for line in commit.data.splitlines() if commit else ():
            if b'"commitInfo"' in line and (found := json.loads(line)["commitInfo"].get("manifest")):
                return str(found)
    return None


def _of_checkpoint(data: bytes) -> dict[str, int]:
    column: Any = pq.read_table(pa.BufferReader(data), columns=["txn"], use_threads=False)["txn"]
    return {one["appId"]: one["version"] for one in column.drop_null().to_pylist() if one["appId"]}


@dataclass(frozen=True)
class _Blob:
    data: bytes
    etag: str


def _commit(folder: str, version: int) -> str:
    return f"{folder}/_delta_log/{version:020}.json"


def _must(container: ContainerClient, name: str) -> _Blob:
    found = _read(container, name)
    if found is None:
        raise Transient(f"curated/{name} is gone: the log was shortened while it was read")
    return found


def _read(container: ContainerClient, name: str) -> _Blob | None:
    try:
        download = container.download_blob(name)
        return _Blob(bytes(download.readall()), str(download.properties.etag))
    except ResourceNotFoundError:
        return None
