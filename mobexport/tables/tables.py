"""Commit attempts to tables: one transaction for all days of an export, the newest request counts.

Each day carries an application transaction whose version is the request's time. So a repeat changes nothing,
an older request never replaces a newer one, and of two writers at once one is told and looks again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from mobexport.blob_paths import CURATED_CONTAINER
from mobexport.clock import now
from mobexport.errors import ConfigError, Transient
from mobexport.export_types.model import ExportType
from mobexport.storage import DataStorage
from mobexport.tables.commit import TableCommit, day_column
from mobexport.tables.pointers import pointer_blobs
from mobexport.tables.schema import partition_columns, schema_change, table_schema

if TYPE_CHECKING:
    import pyarrow.fs as pa_fs

_TRIES: Final = 20
_LOOKED_AT: Final = 10
# Commits of other days that came in between are no conflict: delta-rs checks, and writes the next version.
_RETRIES: Final = 15
_FORBIDDEN: Final = re.compile(r"\b(?:401|403)\b|Authorization|Authentication")
_CONFIGURATION: Final[dict[str, str | None]] = {
    "delta.checkpointInterval": "10",
    "delta.logRetentionDuration": "interval 30 days",
}


@dataclass(frozen=True)
class Committed:
    """What a commit came to."""

    version: int | None
    """Version of the table that shows the attempt; None if nothing was left to do."""
    days: tuple[date, ...]
    """Days that the attempt replaced; of the others a newer request, or this one, was there already."""


class Tables:
    """The tables of one data account."""

    def __init__(self, storage: DataStorage) -> None:
        self.storage = storage

    def commit(self, commit: TableCommit) -> Committed:
        """Makes the attempt's files those of its days, at one moment, unless a newer request was faster.

        May be repeated, also while another try of it is under way. Raises DataError if the table's columns do
        not fit, Transient if others commit to the same days all the time.
        """
        with as_our_errors(commit.folder):
            return self._commit(commit)

    def _commit(self, commit: TableCommit) -> Committed:
        for _ in range(_TRIES):
            try:
                table = self._open_or_create(commit)
                days = [day for day in commit.days if self._is_ours(table, commit, day)]
                if not days:
                    return Committed(None, ())
                self._write(table, commit, days)
            except CommitFailedError:
                continue  # Somebody made the table, or committed to one of these days: look again.
            table.update_incremental()
            return Committed(table.version(), tuple(days))
        raise Transient(f"table {commit.folder}: other exports of the same days commit all the time")

    def files(self, app: str, export_type: ExportType, day: date | None = None) -> list[str]:
        """Paths in `curated` of the files that count, of a day or of all; none if there is no table."""
        table = self.open(f"{app}/{export_type.name}")
        if table is None:
            return []
        column = day_column(export_type)
        wanted = [(column, "=", day.isoformat())] if day else None
        return sorted(f"{app}/{export_type.name}/{path}" for path in _paths(table, wanted))

    def last_manifest(self, app: str, export_type: ExportType) -> str | None:
        """Path of the manifest of the newest commit that has one, among the last few; None if none has."""
        folder = f"{app}/{export_type.name}"
        with as_our_errors(folder):
            table = self.open(folder)
            history = table.history(_LOOKED_AT) if table else []
        return next((one["manifest"] for one in history if one.get("manifest")), None)

    def folders(self) -> list[str]:
        """Every table: `{app}/{type}`."""
        container = self.storage.container(CURATED_CONTAINER, create=False)
        if not container.exists():
            return []
        apps = [one.name for one in container.walk_blobs() if one.name.endswith("/")]
        found = [one.name for app in apps for one in container.walk_blobs(app) if one.name.endswith("/")]
        return sorted(name.rstrip("/") for name in found if not name.startswith("_"))

    def vacuum(self, folder: str, older_than: timedelta, *, is_trial: bool = False) -> list[str]:
        """Deletes files that have not counted for so long; their names.

        Nothing while there are pointers: what they name counts until it is migrated.
        """
        table = self.open(folder)
        if table is None or next(pointer_blobs(self.storage, folder), None):
            return []
        hours = int(older_than.total_seconds() // 3600)
        return table.vacuum(
            retention_hours=hours, dry_run=is_trial, enforce_retention_duration=False, full=True
        )

    # ------------------------------------------------------------------------------------------------------

    def _is_ours(self, table: DeltaTable, commit: TableCommit, day: date) -> bool:
        known = table.transaction_version(_transaction(commit, day))
        return known is None or known < commit.order

    def _write(self, table: DeltaTable, commit: TableCommit, days: Sequence[date]) -> None:
        actions: list[AddAction | RemoveAction] = []
        at = round(now().timestamp() * 1000)
        for day in days:
            partition: dict[str, str | None] = {**commit.partition(day)}
            filters = [(name, "=", value) for name, value in partition.items()]
            for path, size in _paths(table, filters).items():
                actions.append(RemoveAction(path, True, at, size, partition))
        for file in commit.files:
            if file.day in days:
                stats = {"numRecords": file.rows, **file.stats}
                actions.append(
                    AddAction(
                        file.path.removeprefix(f"{commit.folder}/"),
                        file.bytes,
                        commit.partition(file.day),
                        at,
                        True,
                        json.dumps(stats),
                    )
                )
        table.create_write_transaction(
            actions,
            "append",
            table.schema(),
            partition_by=partition_columns(commit.export_type),
            commit_properties=CommitProperties(
                custom_metadata=commit.metadata(days),
                max_commit_retries=_RETRIES,
                app_transactions=[Transaction(_transaction(commit, day), commit.order) for day in days],
            ),
        )

    def _open_or_create(self, commit: TableCommit) -> DeltaTable:
        self.storage.container(CURATED_CONTAINER)
        table = self.open(commit.folder)
        if table is None:
            create_table_with_add_actions(
                self._uri(commit.folder),
                table_schema(commit.export_type),
                [],
                mode="ignore",
                partition_by=partition_columns(commit.export_type),
                name=commit.folder,
                configuration=_CONFIGURATION,
                storage_options=self._options(),
            )
            table = self.open(commit.folder)
            assert table is not None
        self._evolve(table, commit)
        return table

    @staticmethod
    def _evolve(table: DeltaTable, commit: TableCommit) -> None:
        change = schema_change(commit.folder, table.schema(), table_schema(commit.export_type))
        if change.added:
            table.alter.add_columns(list(change.added))
        for name in change.relaxed:
            table.alter.drop_column_not_null(name)

    def open(self, folder: str) -> DeltaTable | None:
        """The newest version of a table, to be read; None if there is none."""
        try:
            return DeltaTable(self._uri(folder), storage_options=self._options())
        except TableNotFoundError:
            return None
        except OSError as error:
            if "ContainerNotFound" in str(error):
                return None
            raise

    def shows(self, commit: TableCommit) -> bool:
        """Whether each of the commit's days is in the table: its rows, or those of a newer request.

        Rows, since its files may have been compacted into others.
        """
        table = self.open(commit.folder)
        if table is None:
            return False
        for day in commit.days:
            known = table.transaction_version(_transaction(commit, day))
            if known is None or known < commit.order:
                return False
            own = sum(file.rows for file in commit.files if file.day == day)
            if known == commit.order and _rows(table, commit.partition(day)) != own:
                return False
        return True

    def files_of_account(self) -> pa_fs.FileSystem:
        """The container `curated` as a file system that reads and writes by ranges."""
        import pyarrow.fs as pa_fs
        from deltalake.fs import DeltaStorageHandler

        return pa_fs.PyFileSystem(DeltaStorageHandler(f"az://{CURATED_CONTAINER}", self._options()))

    @staticmethod
    def _uri(folder: str) -> str:
        return f"az://{CURATED_CONTAINER}/{folder}"

    def _options(self) -> dict[str, str]:
        """What delta-rs needs to call the account: its key (Azurite), or a token of this app's identity.

        Made for each call: azure-identity keeps the token, and renews it before it expires.
        """
        blobs = self.storage.blobs
        found = {
            "azure_storage_account_name": str(blobs.account_name),
            "azure_storage_endpoint": blobs.url.rstrip("/"),
        }
        if blobs.url.startswith("http://"):
            found["azure_allow_http"] = "true"
        key = getattr(blobs.credential, "account_key", None)
        if key:
            return found | {"azure_storage_account_key": key}
        return found | {"azure_storage_token": self.storage.token()}


@contextmanager
def as_our_errors(folder: str) -> Iterator[None]:
    """delta-rs says what storage answered in the text of an OSError; the text itself has URLs and more."""
    try:
        yield
    except OSError as error:
        if _FORBIDDEN.search(str(error)):
            raise ConfigError(
                f"DATA_STORAGE: table {folder} cannot be used; may this app's identity use the account?"
            ) from None
        raise Transient(f"DATA_STORAGE: storage cannot be reached for table {folder}") from None


def _transaction(commit: TableCommit, day: date) -> str:
    return ",".join(f"{name}={value}" for name, value in commit.partition(day).items())


def _paths(table: DeltaTable, filters: Any) -> dict[str, int]:
    """Sizes of active files by path."""
    import pyarrow as pa

    adds = pa.table(table.get_add_actions(flatten=True))
    found = {}
    wanted = {f"partition.{name}": value for name, _, value in filters or ()}
    for row in adds.select(["path", "size_bytes", *wanted]).to_pylist():
        if all(str(row[name]) == value for name, value in wanted.items()):
            found[row["path"]] = row["size_bytes"]
    return found


def _rows(table: DeltaTable, partition: Mapping[str, str]) -> int:
    """Rows of a partition, by its files' statistics."""
    import pyarrow as pa

    columns = [f"partition.{name}" for name in partition]
    adds = pa.table(table.get_add_actions(flatten=True)).select(["num_records", *columns]).to_pylist()
    wanted = list(partition.values())
    return sum(one["num_records"] for one in adds if [str(one[name]) for name in columns] == wanted)
