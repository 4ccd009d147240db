"""The numbers of an export: the app's at every step, beside the independent count.

Server: read = rejected + outside + superseded + removed + exported. Pipeline: exported = rows + rejects.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from deltalake import DeltaTable
from jsonschema import Draft202012Validator

from demo.independent_count import RULES, Count, count_records
from demo.raw_data import Export
from localdev.processes import ROOT

TASKS = "exporttasks"


@dataclass
class Account:
    """The content of the data account, read without any code of the app."""

    blobs: BlobServiceClient
    tables: TableServiceClient

    @classmethod
    def connect(cls, connection: str) -> "Account":
        """By connection string."""
        return cls(
            BlobServiceClient.from_connection_string(connection),
            TableServiceClient.from_connection_string(connection),
        )

    def read(self, container: str, path: str) -> bytes:
        """One blob."""
        return self.blobs.get_blob_client(container, path).download_blob().readall()

    def read_json(self, container: str, path: str) -> Any:
        """One blob that is JSON."""
        return json.loads(self.read(container, path))

    def lines(self, container: str, path: str) -> list[dict[str, Any]]:
        """One blob that is NDJSON."""
        return [json.loads(line) for line in self.read(container, path).splitlines() if line.strip()]

    def names(self, container: str, prefix: str) -> list[str]:
        """Blobs below a prefix."""
        return list(self.blobs.get_container_client(container).list_blob_names(name_starts_with=prefix))

    def table(self, export: Export) -> DeltaTable:
        """The curated table that the export is in."""
        key = self.blobs.credential.account_key
        options = {
            "azure_storage_account_name": str(self.blobs.account_name),
            "azure_storage_account_key": str(key),
            "azure_storage_endpoint": self.blobs.url.rstrip("/"),
            "azure_allow_http": "true",
        }
        return DeltaTable(f"az://curated/{export.app}/{export.export_type}", storage_options=options)

    def task_counts(self, app: str, task_id: str) -> dict[str, Any]:
        """The Export API's counts of a task."""
        entity = self.tables.get_table_client(TASKS).get_entity(app, task_id)
        counts = json.loads(str(entity["counts"]))
        assert isinstance(counts, dict)
        return counts


@dataclass
class Result:
    """One export with everything that was counted about it."""

    export: Export
    shown: Mapping[str, Any]
    server: Mapping[str, Any]
    manifest: Mapping[str, Any]
    raw_rejects: list[dict[str, Any]]
    rejects: list[dict[str, Any]]
    file: Path
    parquet: list[Path]
    count: Count
    values: Counter[tuple[object, ...]] = field(default_factory=Counter)
    """Rows in the Parquet files by the values of the columns that are compared."""
    table: DeltaTable | None = None


def collect(account: Account, export: Export, shown: Mapping[str, Any], data: Path, folder: Path) -> Result:
    """Everything about one ended export; its Parquet files, found by the table's log, go below `folder`."""
    server = account.task_counts(export.app, shown["jobId"])
    manifest = account.read_json("curated", shown["manifest"])
    raw_rejects = f"raw/{export.app}/{shown['jobId']}.ndjson"
    parquet = _download(account, export, shown["id"], folder)
    return Result(
        export=export,
        shown=shown,
        server=server,
        manifest=manifest,
        raw_rejects=account.lines("rejects", raw_rejects) if server["rejected"] else [],
        rejects=[line for path in manifest["rejects"] for line in account.lines("rejects", path)],
        file=_file(account, export, manifest, folder.parent),
        parquet=parquet,
        table=account.table(export),
        count=count_records(
            data,
            export.app,
            export.export_type,
            export.window,
            strict=export.strict,
            feedback=export.feedback,
        ),
        values=values_of(export, parquet),
    )


def values_of(export: Export, parquet: list[Path]) -> Counter[tuple[object, ...]]:
    if not parquet:
        return Counter()
    files = [str(path) for path in parquet]
    source = "FROM read_parquet($1, hive_partitioning = false)"
    kinds = {name: str(kind) for name, kind, *_ in duckdb.execute(f"DESCRIBE {source}", [files]).fetchall()}
    # Members of objects are members of a struct.
    cells = [".".join(f'"{part}"' for part in name.split(".")) for name in RULES[export.export_type].shown]
    columns = ", ".join(
        f"epoch_us({cell})" if kinds.get(cell.strip('"'), "").startswith("TIMESTAMP") else cell
        for cell in cells
    )
    return Counter(duckdb.execute(f"SELECT {columns} {source}", [files]).fetchall())


def _file(account: Account, export: Export, manifest: Mapping[str, Any], folder: Path) -> Path:
    """The export file as the Export API wrote it."""
    file = folder / f"{'-'.join(export.name.split(' ')[1:])}-{export.app}.json"
    file.write_bytes(b"".join(account.read("exports", one["path"]) for one in manifest["inputs"][:1]))
    return file


def _download(account: Account, export: Export, export_id: str, folder: Path) -> list[Path]:
    """The files of the export that count, by the table's log."""
    local = []
    table = account.table(export)
    for path in sorted(pa.table(table.get_add_actions())["path"].to_pylist()):
        if f"/{export_id}-" in path:
            file = folder / export.app / export.export_type / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(account.read("curated", f"{export.app}/{export.export_type}/{path}"))
            local.append(file)
    return local


def manifest_faults(result: Result) -> list[str]:
    """All that the manifest has otherwise than its published schema says."""
    schema = json.loads((ROOT / "docs" / "manifest.schema.json").read_text("utf-8"))
    errors = Draft202012Validator(schema).iter_errors(result.manifest)
    return [f"{result.export.name}: the manifest: {one.json_path}: {one.message}" for one in errors]


def problems(result: Result) -> list[str]:
    """All numbers that do not add up, or differ from the independent count."""
    server, counts = result.server, result.manifest["counts"]
    found = []
    terms = [server[name] for name in ("rejected", "outsideWindow", "superseded", "removed", "exported")]
    if server["read"] != sum(terms):
        found.append(f"read {server['read']} is not {' + '.join(map(str, terms))}")
    if counts["records"] != counts["rows"] + counts["rejected"]:
        found.append(f"records {counts['records']} is not {counts['rows']} + {counts['rejected']}")
    for what, said, counted in compared(result):
        if said != counted:
            found.append(f"{what}: the app says {said}, the independent count {counted}")
    return [f"{result.export.name}: {problem}" for problem in found]


def compared(result: Result) -> list[tuple[str, object, object]]:
    """Each number of the app beside the independent one."""
    server, counts, count = result.server, result.manifest["counts"], result.count
    return [
        ("read", server["read"], count.read),
        ("rejected", server["rejected"], count.rejected),
        ("outside the window", server["outsideWindow"], count.outside_window),
        ("superseded", server["superseded"], count.superseded),
        ("removed", server["removed"], count.removed),
        ("exported", server["exported"], count.exported),
        ("elements", server["elements"], count.elements),
        ("records in the file", counts["records"], count.exported),
        ("rows", counts["rows"], count.rows),
        ("conversion rejects", counts["rejected"], count.conversion_rejects),
        ("lines of raw rejects", len(result.raw_rejects), count.rejected),
        ("lines of conversion rejects", len(result.rejects), count.conversion_rejects),
        ("rows in the Parquet files", result.values.total(), count.rows),
        ("rows with other values", _differing(result.values, count.values), 0),
    ]


def _differing(said: Counter[tuple[object, ...]], counted: Counter[tuple[object, ...]]) -> int:
    """Number of rows that only one of both has."""
    return (said - counted).total() + (counted - said).total()


def table(results: list[Result]) -> tuple[list[list[str]], list[list[str]]]:
    """Both equations of every export, ready to print."""
    server = [["", "read", "=", "rejected", "+", "outside", "+", "superseded", "+", "removed", "+"]]
    server[0] += ["exported", "", "recount"]
    pipeline = [["", "exported", "=", "rows", "+", "rejects", "", "recount"]]
    for result in results:
        said, counts = result.server, result.manifest["counts"]
        agreed = "differs" if problems(result) else "same"
        cells = [result.export.name, _number(said["read"]), "="]
        for name in ("rejected", "outsideWindow", "superseded", "removed"):
            cells += [_number(said[name]), "+"]
        server.append([*cells, _number(said["exported"]), "", agreed])
        rows = [_number(said["exported"]), "=", _number(counts["rows"]), "+", _number(counts["rejected"])]
        pipeline.append([result.export.name, *rows, "", agreed])
    return server, pipeline


def _number(value: object) -> str:
    return f"{value:,}"
