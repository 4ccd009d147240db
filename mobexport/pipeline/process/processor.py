"""From collected files to committed Parquet: the steps of `process_export`.

Each can be repeated at any time: outputs are named by export, attempt and file, the manifest is written
once, and pointers only move forward.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mobexport import export_types
from mobexport.blob_paths import (
    COMPLETE,
    CURATED_CONTAINER,
    EXPORTS_CONTAINER,
    REJECTS_CONTAINER,
    conversion_path,
    export_rejects_path,
    output_stem,
)
from mobexport.errors import DataError
from mobexport.heavy import exclusive_step
from mobexport.pipeline.process.manifests import make_manifest, swap_pointers
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.registry.states import State
from mobexport.records.formats import ExportFormat
from mobexport.settings import Settings
from mobexport.storage import NDJSON, DataStorage, RawBlob
from mobexport.telemetry.tracing import span
from mobexport.wire import AttemptRef, Failure

if TYPE_CHECKING:
    from mobexport.pipeline.process.conversion import Conversion

_PARQUET = "application/vnd.apache.parquet"


@dataclass(frozen=True)
class Processor:
    """The steps over one registry and one data account."""

    registry: Registry
    storage: DataStorage
    settings: Settings

    def begin(self, ref: AttemptRef) -> dict[str, Any]:
        """`{"done": True}` if there is nothing left to do, else `{"files": n}`.

        Asked first, since a blob event may come twice, late, or for an attempt that is no more.
        """
        row = self.registry.attempt(ref)
        if row.manifest is not None or row.processing_error or row.state is not State.PROCESSING:
            return {"done": True}
        return {"done": False, "files": len(self._complete(row)["files"])}

    def convert(self, ref: AttemptRef, index: int) -> dict[str, Any]:
        """Converts one collected file; its counts, once its Parquet and rejects are in place."""
        row = self.registry.attempt(ref)
        result_name = conversion_path(row.folder, index)
        result = self.storage.read_json(EXPORTS_CONTAINER, result_name)
        if result is None:
            result = self._convert(row, RawBlob(**self._complete(row)["files"][index]), index)
            self.storage.write_json(EXPORTS_CONTAINER, result_name, result)
        self.registry.change(
            ref,
            lambda now: replace(now, progress={**now.progress, "converted": index + 1}),
        )
        return {name: result[name] for name in ("records", "rows", "rejected")}

    def _convert(self, row: ExportRow, blob: RawBlob, index: int) -> dict[str, Any]:
        from mobexport.pipeline.process.conversion import convert_file

        request = row.request
        with exclusive_step() as folder, span("convert", attributes={"mobexport.file": index}) as opened:
            out_dir, workdir = folder / "out", folder / "work"
            workdir.mkdir()
            conversion = convert_file(
                export_types.get(request.export_type),
                self.storage.read_chunks(EXPORTS_CONTAINER, blob),
                app=request.app,
                window=request.window,
                snapshot_day=request.snapshot_day,
                strict=request.strict,
                stem=output_stem(row.ref, index),
                out_dir=out_dir,
                workdir=workdir,
                file_format=ExportFormat(row.file_format or ExportFormat.JSON),
                limits=self.settings.work_limits,
            )
            opened.set_attributes(
                {
                    "mobexport.bytes": conversion.input_bytes,
                    "mobexport.records": conversion.records,
                    "mobexport.rows": conversion.rows,
                    "mobexport.rejected": conversion.rejected,
                }
            )
            return self._store(row, blob, index, conversion)

    def _store(self, row: ExportRow, blob: RawBlob, index: int, conversion: Conversion) -> dict[str, Any]:
        outputs = []
        for output in conversion.outputs:
            path = row.day_folder(output.date) + output.path.name
            self.storage.upload_file(CURATED_CONTAINER, path, output.path, _PARQUET)
            outputs.append(
                {
                    "path": path,
                    "date": output.date.isoformat(),
                    "rows": output.rows,
                    "bytes": output.bytes,
                    "sha256": output.sha256,
                }
            )
        rejects = None
        if conversion.rejected and conversion.rejects is not None:
            rejects = export_rejects_path(row.request.app, row.ref, index)
            self.storage.upload_file(REJECTS_CONTAINER, rejects, conversion.rejects, NDJSON)
        return {
            "input": {
                "path": blob.name,
                "etag": blob.etag,
                "bytes": conversion.input_bytes,
                "sha256": conversion.input_sha256,
            },
            "outputs": outputs,
            "rejects": rejects,
            "records": conversion.records,
            "rows": conversion.rows,
            "rejected": conversion.rejected,
            "rules": dict(conversion.rules),
            "lenient": dict(conversion.lenient),
        }

    def commit(self, ref: AttemptRef, started_by: str | None = None) -> dict[str, Any]:
        """Writes the manifest, then the pointers, then says so in the registry; the counts.

        Between manifest and pointers the registry is told that the attempt will succeed: from there on
        nothing ends it otherwise, and whoever finds it so completes the commit.
        """
        row = self.registry.attempt(ref)
        conversions = [
            self.storage.read_json(EXPORTS_CONTAINER, conversion_path(row.folder, index))
            for index in range(len(self._complete(row)["files"]))
        ]
        path = row.manifest_path
        self.storage.write_json(CURATED_CONTAINER, path, make_manifest(row, conversions))
        manifest = self.storage.read_json(CURATED_CONTAINER, path)
        counts = manifest["counts"]
        if counts["records"] != counts["rows"] + counts["rejected"]:
            raise DataError(
                f"{counts['records']} records became {counts['rows']} rows and {counts['rejected']} rejects"
            )

        def begin(now: ExportRow) -> ExportRow:
            return replace(
                now, committing=True, processing_started_by=now.processing_started_by or started_by
            )

        row = self.registry.change(ref, begin)
        if not row.committing:
            raise DataError(f"export {row.id!r} ended as {row.state} before its commit", code="Ended")
        swap_pointers(self.storage, row, manifest)
        self.registry.change(ref, lambda now: replace(now, manifest=path, counts=counts))
        return {name: counts[name] for name in ("records", "rows", "rejected")}

    def done(self, ref: AttemptRef) -> bool:
        """Whether the attempt is processed. Raises the error that processing gave up with."""
        row = self.registry.attempt(ref)
        if row.processing_error:
            found = Failure.from_json(row.processing_error)
            raise DataError(found.message, code=found.code)
        return row.manifest is not None or row.state.terminal

    def give_up(self, ref: AttemptRef, failure: Failure) -> None:
        """Keeps why processing failed, for the run to end the attempt with."""
        self.registry.change(
            ref,
            lambda now: (
                None if now.manifest or now.committing else replace(now, processing_error=failure.to_json())
            ),
        )

    def _complete(self, row: ExportRow) -> Any:
        name = row.folder + COMPLETE
        complete = self.storage.read_json(EXPORTS_CONTAINER, name)
        if complete is None:
            raise DataError(f"{EXPORTS_CONTAINER}/{name} is missing: the files were not collected")
        return complete
