"""Curated data as the pipeline writes them, for tests of tables."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from mobexport import export_types
from mobexport.export_types.model import ExportType
from mobexport.pipeline.process.conversion import convert_file
from mobexport.records.limits import Limits
from mobexport.settings import read_settings
from mobexport.storage import PARQUET, DataStorage
from mobexport.tables.commit import NewFile, TableCommit

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = [date(2025, 3, 23) + timedelta(days=number) for number in range(4)]
EVENT = export_types.get("Event")


def storage_of(azurite: Any) -> DataStorage:
    settings = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    return DataStorage(read_settings(settings))


def delta_options(azurite: Any) -> dict[str, str]:
    """What delta-rs and Polars need to read the emulator."""
    settings = dict(part.split("=", 1) for part in azurite.connection_string.rstrip(";").split(";"))
    return {
        "azure_storage_account_name": settings["AccountName"],
        "azure_storage_account_key": settings["AccountKey"],
        "azure_storage_endpoint": settings["BlobEndpoint"],
        "azure_allow_http": "true",
    }


def events(day: date, *names: str) -> bytes:
    """An Event file of one device, an event for each name."""
    records = ",".join(f'{{"name":"{name}","timestamp":"{day}T10:00:00Z"}}' for name in names)
    return f'[{{"deviceId":"d","events":[{records}]}}]'.encode()


def upload(
    storage: DataStorage,
    app: str,
    folder: Path,
    data: bytes,
    *,
    type_: ExportType = EVENT,
    day: date = DAYS[0],
    stem: str = "e-1-0",
) -> list[NewFile]:
    """Converts a file and uploads its Parquet; the files, not yet committed."""
    done = convert_file(
        type_,
        [data],
        app=app,
        window=None,
        snapshot_day=None if type_.historical else day,
        strict=False,
        stem=stem,
        out_dir=folder / "out",
        workdir=folder / "work",
        limits=Limits(2**26, 2**28),
    )
    label = "date" if type_.historical else "snapshot"
    files = []
    for output in done.outputs:
        path = f"{app}/{type_.name}/{label}={output.date}/{output.path.name}"
        storage.upload_file("curated", path, output.path, PARQUET)
        files.append(NewFile(path, output.date, output.rows, output.bytes, output.stats))
    return files


def commit_of(
    app: str, name: str, at: float, files: list[NewFile], *, type_: ExportType = EVENT
) -> TableCommit:
    """The commit of an export that was requested so many seconds after BEGIN."""
    days = tuple(sorted({file.day for file in files} or {DAYS[0]}))
    manifest = f"_manifests/{app}/{type_.name}/{name}-1.json"
    return TableCommit(app, type_, name, 1, BEGIN + timedelta(seconds=at), days, files, manifest=manifest)
