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
from datetime import date
from typing import TYPE_CHECKING, Final

from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from mobexport.blob_paths import CURATED_CONTAINER
from mobexport.clock import now
from mobexport.errors import ConfigError, Transient
from mobexport.export_types.model import ExportType
from mobexport.storage import DataStorage
from mobexport.tables.active_files import active_files
from mobexport.tables.commit import TableCommit, table_folder
from mobexport.tables.open_tables import OpenTables
from mobexport.tables.schema import partition_columns, schema_change, table_schema
from mobexport.tables.transactions import last_manifest, read_transactions

if TYPE_CHECKING:
    import pyarrow.fs as pa_fs

_TRIES: Final = 20
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

    days: tuple[date, ...]
    """Days that the attempt replaced; of the others a newer request, or this one, was there already."""


class Tables:
    """The tables of one data account."""

    def __init__(self, storage: DataStorage) -> None:
        self.storage = storage
        self._open = OpenTables()

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
                container = self.storage.container(CURATED_CONTAINER)
                with self._open.use(commit.folder, container, lambda: self._open_or_create(commit)) as opened:
                    self._evolve(opened.table, commit)
                    days = _days_to_replace(opened.transactions(), commit)
                    if days:
                        self._write(opened.table, commit, days)
            except CommitFailedError:
                continue  # Somebody made the table, or committed to one of these days: look again.
            return Committed(tuple(days))
        raise Transient(f"table {commit.folder}: other exports of the same days commit all the time")

    def files(self, app: str, export_type: ExportType, day: date | None = None) -> list[str]:
        """Paths in `curated` of the files that count, of a day or of all; none if there is no table."""
        folder = table_folder(app, export_type.name)
        table = self.open(folder)
        if table is None:
            return []
        return [f"{folder}/{file.path}" for file in active_files(table, None if day is None else (day,))]

    def last_manifest(self, app: str, export_type: ExportType) -> str | None:
        """Path of the manifest of the newest commit that has one, among the last few; None if none has."""
        container = self.storage.container(CURATED_CONTAINER)
        return last_manifest(container, table_folder(app, export_type.name))

    def folders(self) -> list[str]:
        """Every table: `{app}/{type}`."""
        container = self.storage.container(CURATED_CONTAINER, create=False)
        if not container.exists():
            return []
        apps = [one.name for one in container.walk_blobs() if one.name.endswith("/")]
        found = [one.name for app in apps for one in container.walk_blobs(app) if one.name.endswith("/")]
        return sorted(name.rstrip("/") for name in found if not name.startswith("_"))

    # ------------------------------------------------------------------------------------------------------

    def _write(self, table: DeltaTable, commit: TableCommit, days: Sequence[date]) -> None:
        at = round(now().timestamp() * 1000)
        partitions = [commit.partition(day) for day in days]
        actions: list[AddAction | RemoveAction] = [
            RemoveAction(old.path, True, at, old.bytes, {**old.partition})
            for old in active_files(table, days)
            if old.partition in partitions
        ]
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
            # Old logs are the upkeep's: looking for them is a call.
            post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
        )

    def _open_or_create(self, commit: TableCommit) -> DeltaTable:
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
        return table

    @staticmethod
    def _evolve(table: DeltaTable, commit: TableCommit) -> None:
        change = schema_change(commit.folder, table.schema(), table_schema(commit.export_type))
        if change.added:
            table.alter.add_columns(list(change.added))
        for name in change.relaxed:
            table.alter.drop_column_not_null(name)

    def open(self, folder: str) -> DeltaTable | None:
        """The newest version of a table, by its folder in `curated`; None if there is none."""
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
        known = self.transactions(commit.folder, table)
        for day in commit.days:
            version = known.get(_transaction(commit, day), -1)
            if version < commit.order:
                return False
            own = sum(file.rows for file in commit.files if file.day == day)
            if version == commit.order and _rows(table, commit, day) != own:
                return False
        return True

    def transactions(self, folder: str, table: DeltaTable) -> Mapping[str, int]:
        """Version of each application transaction of an open table by its name. Raises Transient."""
        return read_transactions(self.storage.container(CURATED_CONTAINER), folder, table.version()).known

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


def _days_to_replace(known: Mapping[str, int], commit: TableCommit) -> list[date]:
    """Days for which the table has no request as new as this one."""
    return [day for day in commit.days if known.get(_transaction(commit, day), -1) < commit.order]


def _transaction(commit: TableCommit, day: date) -> str:
    return ",".join(f"{name}={value}" for name, value in commit.partition(day).items())


def _rows(table: DeltaTable, commit: TableCommit, day: date) -> int:
    partition = commit.partition(day)
    return sum(file.rows for file in active_files(table, (day,)) if file.partition == partition)
