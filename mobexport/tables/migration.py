"""Migrate curated data from pointers to tables: what counted counts, once, and can be stopped anywhere.

For each table: read its pointers, commit each export's files to the table as they are, see that the table
shows them, and only then delete the pointers. Each step may be repeated: a commit is one by its days and its
time of request, so a newer export of this version is left alone. A file whose objects are dotted columns, as
first versions wrote them, is written anew with structs, beside the old one, which stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq

from mobexport import export_types
from mobexport.blob_labels import export_labels
from mobexport.blob_paths import CURATED_CONTAINER
from mobexport.errors import DataError, RequestError
from mobexport.export_types.model import ExportType
from mobexport.records.columns import schema_of
from mobexport.records.parquet_days import statistics_of
from mobexport.records.structs import file_fields, is_needed
from mobexport.storage import PARQUET, DataStorage
from mobexport.tables.commit import NewFile, TableCommit
from mobexport.tables.pointers import Pointer, pointer_blobs, read_pointer
from mobexport.tables.tables import Tables, as_our_errors
from mobexport.wire import AttemptRef

_REWRITTEN = "-structs.parquet"


@dataclass(frozen=True)
class Migrated:
    """A table's migration, done or as it would be done."""

    folder: str
    """`{app}/{type}`."""
    pointers: int = 0
    exports: int = 0
    files: int = 0
    """Files that were added, or would be."""
    rows: int = 0
    rewritten: int = 0
    """Of those files, the ones whose dotted columns became structs."""
    problem: str = ""
    """Why the table was left as it is; empty if it was not."""


def migrate(
    storage: DataStorage,
    tables: Tables,
    *,
    is_trial: bool = False,
    say: Callable[[str], None] = lambda _line: None,
) -> list[Migrated]:
    """Migrates every table that has pointers; `say` is told each step.

    `is_trial`: looks at everything, changes nothing. A table with a file or pointer that cannot be used stays
    as it is, pointers and all, and says so; the others go on.
    """
    folders: dict[str, list[str]] = defaultdict(list)
    for name in pointer_blobs(storage):
        folders["/".join(name.split("/")[:2])].append(name)
    return [
        _Migration(storage, tables, folder, is_trial, say).run(names)
        for folder, names in sorted(folders.items())
    ]


@dataclass(frozen=True)
class _Migration:
    """One table's migration."""

    storage: DataStorage
    tables: Tables
    folder: str
    is_trial: bool
    say: Callable[[str], None]

    def run(self, names: Sequence[str]) -> Migrated:
        try:
            with as_our_errors(self.folder):
                return self._migrated(names)
        except (DataError, RequestError) as error:
            return Migrated(self.folder, len(names), problem=error.message)

    def _migrated(self, names: Sequence[str]) -> Migrated:
        pointers = [one for name in names if (one := read_pointer(self.storage, name)) is not None]
        files = _Files(self.storage, self.tables.files_of_account(), self.is_trial)
        # All files are looked at before anything is committed: a table is migrated whole, or not at all.
        commits = [(_commit(group, files), group) for group in _exports(pointers)]
        for commit, _ in commits:
            rows = sum(file.rows for file in commit.files)
            if self.is_trial:
                self.say(f"{self.folder}: would commit {_described(commit, rows)}")
                continue
            done = self.tables.commit(commit)
            outcome = "committed" if done.days else "was there"
            self.say(f"{self.folder}: {outcome}, {_described(commit, rows)}")
        if not self.is_trial:
            self._delete_pointers(commits)
        every = [file for commit, _ in commits for file in commit.files]
        return Migrated(
            self.folder,
            len(pointers),
            len(commits),
            len(every),
            sum(file.rows for file in every),
            files.rewritten,
        )

    def _delete_pointers(self, commits: Sequence[tuple[TableCommit, Sequence[Pointer]]]) -> None:
        for commit, group in commits:
            if not self.tables.shows(commit):
                raise DataError(
                    f"table {self.folder} does not show the files of export {commit.export_id!r} after its"
                    " commit; its pointers stay: run the migration again",
                )
            for pointer in group:
                self.storage.delete_blob(CURATED_CONTAINER, pointer.name)


def _exports(pointers: Sequence[Pointer]) -> Iterator[list[Pointer]]:
    """The pointers of each attempt, oldest request first."""
    groups: dict[Any, list[Pointer]] = defaultdict(list)
    for one in pointers:
        groups[one.requested_at, one.export_id, one.attempt, one.campaign_type or ""].append(one)
    for key in sorted(groups):
        yield sorted(groups[key], key=lambda one: one.day)


def _commit(group: Sequence[Pointer], files: _Files) -> TableCommit:
    first = group[0]
    export_type = export_types.get(first.type)
    return TableCommit(
        app=first.app,
        export_type=export_type,
        export_id=first.export_id,
        attempt=first.attempt,
        requested_at=first.requested_at,
        days=tuple(pointer.day for pointer in group),
        files=[file for pointer in group for file in files.of(pointer, export_type)],
        campaign_type=first.campaign_type,
        manifest=first.manifest,
    )


def _described(commit: TableCommit, rows: int) -> str:
    return (
        f"{commit.export_id}, attempt {commit.attempt}: {len(commit.days)} days, {len(commit.files)} files,"
        f" {rows:,} rows"
    )


class _Files:
    """The files that pointers name, as a table takes them."""

    def __init__(self, storage: DataStorage, account: pa_fs.FileSystem, is_trial: bool) -> None:
        self._storage = storage
        self._account = account
        self._is_trial = is_trial
        self.rewritten = 0

    def of(self, pointer: Pointer, export_type: ExportType) -> list[NewFile]:
        """The files of a pointer. Raises DataError if one is gone, or its columns or rows do not fit."""
        found = [self._file(pointer, path, export_type) for path in pointer.files]
        rows = sum(file.rows for file in found)
        if rows != pointer.rows:
            raise DataError(
                f"curated/{pointer.name} says {pointer.rows} rows, and its files have {rows}: a file was"
                f" changed; export {pointer.day} again, or restore the files",
            )
        return found

    def _file(self, pointer: Pointer, path: str, export_type: ExportType) -> NewFile:
        try:
            source = self._account.open_input_file(f"{path}")
        except FileNotFoundError:
            raise DataError(
                f"curated/{path} is gone, and curated/{pointer.name} names it: restore it (soft delete), or"
                " export that day again",
            ) from None
        with source:
            try:
                file = pq.ParquetFile(source)
            except pa.ArrowInvalid as error:
                raise DataError(
                    f"curated/{path} is no Parquet file ({error}): restore it (soft delete), or export that"
                    " day again",
                ) from None
            if _is_dotted(file.schema_arrow, export_type):
                self.rewritten += 1
                return self._as_structs(file, pointer, path, export_type)
            _check_columns(path, file, export_type)
            return _new_file(path, pointer, file, source.size())

    def _as_structs(
        self, file: pq.ParquetFile, pointer: Pointer, path: str, export_type: ExportType
    ) -> NewFile:
        wanted = schema_of(export_type)
        target = path.removesuffix(".parquet") + _REWRITTEN
        _check_schema(path, _with_structs(file.schema_arrow.empty_table(), wanted).schema, export_type)
        if self._is_trial:
            return NewFile(target, pointer.day, file.metadata.num_rows, 0)
        # By a local file: the blob appears whole, or not at all.
        with TemporaryDirectory(prefix="mobexport-") as folder:
            local = Path(folder) / "structs.parquet"
            with pq.ParquetWriter(local, wanted, compression="zstd") as writer:
                for group in range(file.num_row_groups):
                    writer.write_table(_in_order(_with_structs(file.read_row_group(group), wanted), wanted))
            with pq.ParquetFile(local) as written:
                _check_columns(path, written, export_type)
                labels = export_labels(
                    pointer.app, pointer.type, AttemptRef(pointer.export_id, pointer.attempt), pointer.day
                )
                self._storage.upload_file(CURATED_CONTAINER, target, local, PARQUET, labels)
                return _new_file(target, pointer, written, local.stat().st_size)


def _new_file(path: str, pointer: Pointer, file: pq.ParquetFile, size: int) -> NewFile:
    return NewFile(path, pointer.day, file.metadata.num_rows, size, statistics_of(file.metadata))


def _is_dotted(schema: pa.Schema, export_type: ExportType) -> bool:
    objects = tuple(f"{field.name}." for field in file_fields(export_type) if field.members)
    return bool(objects) and any(name.startswith(objects) for name in schema.names)


def _with_structs(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Dotted columns as structs; an object of which no member is there becomes null."""
    for field in wanted:
        if not pa.types.is_struct(field.type) or field.name in table.column_names:
            continue
        names = [f"{field.name}.{member.name}" for member in field.type]
        there = [name for name in names if name in table.column_names]
        if not there:
            continue
        parts = [
            table[name].combine_chunks().cast(member.type)
            if name in table.column_names
            else pa.nulls(len(table), member.type)
            for name, member in zip(names, field.type, strict=True)
        ]
        is_absent = pa.array([True] * len(table), pa.bool_())
        for part in parts:
            is_absent = pc.and_(is_absent, pc.is_null(part))
        structs = pa.StructArray.from_arrays(parts, fields=list(field.type), mask=is_absent)
        table = table.drop_columns(there).append_column(field, structs)
    return table


def _in_order(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    columns = [
        table[field.name] if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in wanted
    ]
    return pa.table(columns, schema=wanted)


def _check_columns(path: str, file: pq.ParquetFile, export_type: ExportType) -> None:
    """Raises DataError if the table could not show the file's columns, or says that they are never null."""
    _check_schema(path, file.schema_arrow, export_type)
    stated = _nulls(file.metadata)
    for name in ["app", *(field.name for field in file_fields(export_type) if is_needed(field))]:
        if stated.get(name, file.metadata.num_rows):
            raise DataError(
                f"curated/{path}: column {name!r} is missing or has nulls, and a record must have it: this is"
                " no file of this app; move it and its pointer away",
            )


def _check_schema(path: str, schema: pa.Schema, export_type: ExportType) -> None:
    wanted = {field.name: field.type for field in schema_of(export_type)}
    for field in schema:
        known = wanted.get(field.name)
        if known is None:
            raise DataError(
                f"curated/{path}: column {field.name!r} is none of {export_type.name}, so that its values"
                " would be lost to readers; declare it in mobexport/export_types",
            )
        if not _fits(field.type, known):
            raise DataError(
                f"curated/{path}: column {field.name!r} is {field.type}, and this version writes {known};"
                " export its day again, or give the field another name in mobexport/export_types",
            )


def _fits(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column of that type can be read as the other: an object may have fewer members."""
    if not (pa.types.is_struct(found) and pa.types.is_struct(wanted)):
        return bool(found == wanted)
    known = {member.name: member.type for member in wanted}
    return all(member.name in known and _fits(member.type, known[member.name]) for member in found)


def _nulls(footer: pq.FileMetaData) -> dict[str, int]:
    """Nulls of each column by the footer; columns without statistics are left out."""
    found: dict[str, int] = {}
    for group in range(footer.num_row_groups):
        for at in range(footer.num_columns):
            column = footer.row_group(group).column(at)
            if column.statistics is not None and column.statistics.null_count is not None:
                found[column.path_in_schema] = (
                    found.get(column.path_in_schema, 0) + column.statistics.null_count
                )
    return found
