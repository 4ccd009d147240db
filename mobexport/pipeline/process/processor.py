"""From collected files to committed Parquet: the steps of `process_export`.

Each can be repeated at any time: outputs are named by export, attempt and file, the manifest is written
once, and so is the transaction that makes the files part of the table.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

from mobexport import export_types
from mobexport.blob_paths import (
    COMPLETE,
    CURATED_CONTAINER,
    EXPORTS_CONTAINER,
    REJECTS_CONTAINER,
    conversion_path,
    conversion_prefix,
    cut_path,
    export_rejects_path,
    output_stem,
)
from mobexport.errors import DataError
from mobexport.heavy import HeavyStep, HeavySteps
from mobexport.pipeline.findings import shorten_drift
from mobexport.pipeline.process.bookkeeping import check_complete, check_conversion
from mobexport.pipeline.process.drift import has_drifted
from mobexport.pipeline.process.manifests import Earlier, make_manifest
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.registry.states import State
from mobexport.records.formats import ExportFormat
from mobexport.settings import Settings
from mobexport.storage import NDJSON, PARQUET, DataStorage, RawBlob
from mobexport.tables.commit import NewFile, TableCommit
from mobexport.telemetry.tracing import span
from mobexport.wire import AttemptRef, Failure

_REJECTS_TOLD = 10

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mobexport.export_types.model import ExportType
    from mobexport.pipeline.process.conversion import Conversion
    from mobexport.records.element_ranges import Part


class CommitsTables(Protocol):
    """What processing needs of the curated tables."""

    def commit(self, commit: TableCommit) -> Any: ...
    def last_manifest(self, app: str, export_type: ExportType) -> str | None: ...


@dataclass(frozen=True)
class Processor:
    """The steps over one registry and one data account."""

    registry: Registry
    storage: DataStorage
    settings: Settings
    tables: CommitsTables
    steps: HeavySteps

    def begin(self, ref: AttemptRef, started_by: str | None = None) -> dict[str, Any]:
        """`{"done": True}` if nothing is left to do, else `{"files": n}`; `large`: those cut in parts.

        Asked first, since a blob event may come twice, late, or for an attempt that is no more. An attempt
        with one file that is not large, or none, is converted and committed at once.
        """
        row = self.registry.attempt(ref)
        if row.manifest is not None or row.processing_error or row.state is not State.PROCESSING:
            return {"done": True}
        files = self._complete(row)["files"]
        sizes = [file["size"] for file in files]
        # Rows of CSV are not found by their brackets: such a file is converted whole.
        cut = _format(row) is ExportFormat.JSON
        large = [index for index, size in enumerate(sizes) if cut and size > self._part_bytes]
        if len(files) <= 1 and not large:
            self._commit(row, [self._convert(row, 0, RawBlob(**file)) for file in files], started_by)
            return {"done": True}
        return {"done": False, "files": len(sizes), **({"large": large} if large else {})}

    def convert(self, ref: AttemptRef, index: int) -> dict[str, Any]:
        """Converts one collected file; its counts, once its Parquet and rejects are in place."""
        row = self.registry.attempt(ref)
        result_name = conversion_path(row.folder, index)
        result = self.storage.read_json(EXPORTS_CONTAINER, result_name)
        if result is None:
            result = self._convert(row, index, self._file(row, index))
            self.storage.write_json(EXPORTS_CONTAINER, result_name, result, labels=row.labels())
        self._count_converted(row, index)
        return _counts(result)

    def find_parts(self, ref: AttemptRef, index: int) -> dict[str, Any]:
        """Cuts one large collected file, once and for all: `{parts, lanes}`.

        Raises Truncated or DataError if it is no whole JSON array, before anything is converted.
        """
        row = self.registry.attempt(ref)
        name = cut_path(row.folder, index)
        if self.storage.read_json(EXPORTS_CONTAINER, name) is None:
            self.storage.write_json(EXPORTS_CONTAINER, name, self._cut(row, index), labels=row.labels())
        found = self.storage.read_json(EXPORTS_CONTAINER, name)["parts"]
        return {"parts": max(len(found), 1), "lanes": self.settings.export_lanes}

    def convert_part(self, ref: AttemptRef, index: int, number: int) -> dict[str, Any]:
        """Converts one part of a large file; its counts, once its Parquet and rejects are in place."""
        row = self.registry.attempt(ref)
        result_name = conversion_path(row.folder, index, number)
        parts = self.storage.read_json(EXPORTS_CONTAINER, cut_path(row.folder, index))["parts"]
        result = self.storage.read_json(EXPORTS_CONTAINER, result_name)
        if result is None:
            from mobexport.records.element_ranges import Part

            result = self._convert(row, index, self._file(row, index), number, Part(*parts[number]))
            self.storage.write_json(EXPORTS_CONTAINER, result_name, result, labels=row.labels())
        done = self.storage.list_blobs(EXPORTS_CONTAINER, conversion_prefix(row.folder, index))
        if sum(1 for _ in done) == len(parts):
            self._count_converted(row, index)
        return _counts(result)

    def _count_converted(self, row: ExportRow, index: int) -> None:
        self.registry.change(
            row.ref,
            lambda now: replace(now, progress={**now.progress, "converted": index + 1}),
        )

    def _cut(self, row: ExportRow, index: int) -> dict[str, Any]:
        from mobexport.pipeline.process.conversion import cut_file

        blob = self._file(row, index)
        # Of one size, so that they take as long as each other.
        part_bytes = -(-blob.size // -(-blob.size // self._part_bytes))
        with (
            self._heavy(row, "find", index, blob.name),
            span("find parts", attributes={"mobexport.file": index}) as opened,
        ):
            found = cut_file(
                export_types.get(row.request.export_type),
                self.storage.read_chunks(EXPORTS_CONTAINER, blob),
                part_bytes,
            )
            opened.set_attributes({"mobexport.bytes": found.input_bytes, "mobexport.parts": len(found.parts)})
        return {
            "version": 1,
            "input": _input(blob, found.input_bytes, found.input_sha256),
            "parts": [part.to_json() for part in found.parts],
        }

    def _convert(
        self,
        row: ExportRow,
        index: int,
        blob: RawBlob,
        number: int | None = None,
        part: Part | None = None,
    ) -> dict[str, Any]:
        from mobexport.pipeline.process.conversion import convert_file

        request = row.request
        with (
            self._heavy(row, "convert", index, blob.name, number) as step,
            span("convert", attributes={"mobexport.file": index}) as opened,
        ):
            out_dir, workdir = step.folder / "out", step.folder / "work"
            workdir.mkdir()
            conversion = convert_file(
                export_types.get(request.export_type),
                self.storage.read_chunks(EXPORTS_CONTAINER, blob, part.begin if part else 0),
                app=request.app,
                window=request.window,
                snapshot_day=request.snapshot_day,
                strict=request.strict,
                stem=output_stem(row.ref, index, number),
                out_dir=out_dir,
                workdir=workdir,
                limits=self.settings.work_limits,
                file_format=_format(row),
                part=part,
            )
            opened.set_attributes(
                {
                    "mobexport.bytes": conversion.input_bytes,
                    "mobexport.records": conversion.records,
                    "mobexport.rows": conversion.rows,
                    "mobexport.rejected": conversion.rejected,
                }
            )
            read = None if part else _input(blob, conversion.input_bytes, conversion.input_sha256)
            return {
                "input": read,
                **self._store(row, export_rejects_path(row.request.app, row.ref, index, number), conversion),
            }

    def _store(self, row: ExportRow, rejects_path: str, conversion: Conversion) -> dict[str, Any]:
        outputs = []
        for output in conversion.outputs:
            path = row.day_folder(output.date) + output.path.name
            labels = row.labels(output.date)
            self.storage.upload_file(CURATED_CONTAINER, path, output.path, PARQUET, labels)
            outputs.append(
                {
                    "path": path,
                    "date": output.date.isoformat(),
                    "rows": output.rows,
                    "bytes": output.bytes,
                    "sha256": output.sha256,
                    "stats": dict(output.stats),
                }
            )
        rejects = None
        if conversion.rejected and conversion.rejects is not None:
            rejects = rejects_path
            self.storage.upload_file(REJECTS_CONTAINER, rejects, conversion.rejects, NDJSON, row.labels())
        return {
            "outputs": outputs,
            "rejects": rejects,
            "records": conversion.records,
            "rows": conversion.rows,
            "rejected": conversion.rejected,
            "rules": dict(conversion.rules),
            "lenient": dict(conversion.lenient),
            "sampled": conversion.sampled.to_json(),
        }

    def commit(self, ref: AttemptRef, started_by: str | None = None) -> ExportRow:
        """Commits what was converted; the row as it is then."""
        row = self.registry.attempt(ref)
        manifest = self.storage.read_json(CURATED_CONTAINER, row.manifest_path) if row.committing else None
        if manifest is not None:
            return self._commit_manifest(row, manifest, started_by)
        files = range(len(self._complete(row)["files"]))
        return self._commit(row, [done for n in files for done in self._conversions(row, n)], started_by)

    def _commit(self, row: ExportRow, conversions: list[Any], started_by: str | None) -> ExportRow:
        """Writes the manifest, then commits to the table, then says so in the registry; the row.

        Between manifest and commit the registry is told that the attempt will succeed: from there on
        nothing ends it otherwise, and whoever finds it so completes the commit.
        """
        manifest: Any = make_manifest(row, conversions, self._earlier_manifest(row))
        if not self.storage.write_json(CURATED_CONTAINER, row.manifest_path, manifest, labels=row.labels()):
            manifest = self.storage.read_json(CURATED_CONTAINER, row.manifest_path)
        return self._commit_manifest(row, manifest, started_by)

    def _commit_manifest(self, row: ExportRow, manifest: Any, started_by: str | None) -> ExportRow:
        ref, path = row.ref, row.manifest_path
        counts = manifest["counts"]
        if counts["records"] != counts["rows"] + counts["rejected"]:
            raise DataError(
                f"{counts['records']} records became {counts['rows']} rows and {counts['rejected']} rejects"
            )

        def begin(now: ExportRow) -> ExportRow:
            return replace(
                now, committing=True, processing_started_by=now.processing_started_by or started_by
            )

        row = self.registry.change(ref, begin, row)
        if not row.committing:
            raise DataError(f"export {row.id!r} ended as {row.state} before its commit", code="Ended")
        self.tables.commit(_table_commit(row, manifest))
        drift = manifest.get("drift")
        shown = {name: value for name, value in counts.items() if name not in ("raw", "rawUnknown")}
        if rejects := manifest["rejects"]:
            # A row holds the first of them, the manifest all.
            shown["rejects"] = [f"{REJECTS_CONTAINER}/{path}" for path in rejects[:_REJECTS_TOLD]]
        if drift and has_drifted(drift):
            shown["drift"] = shorten_drift(drift)
        return self.registry.change(ref, lambda now: replace(now, manifest=path, counts=shown), row)

    def _earlier_manifest(self, row: ExportRow) -> Earlier | None:
        """The manifest of the newest commit to the table."""
        request = row.request
        path = self.tables.last_manifest(request.app, export_types.get(request.export_type))
        found = self.storage.read_json(CURATED_CONTAINER, path) if path else None
        return (path, found) if path and found else None

    def _conversions(self, row: ExportRow, index: int) -> list[Any]:
        """What became of one file: whole, or by its parts in their order."""
        whole = self.storage.read_json(EXPORTS_CONTAINER, conversion_path(row.folder, index))
        if whole is not None:
            check_conversion(row, index, whole)
            return [whole]
        cut = self.storage.read_json(EXPORTS_CONTAINER, cut_path(row.folder, index))
        names = (
            [conversion_path(row.folder, index, number) for number in range(len(cut["parts"]))] if cut else []
        )
        found = [self.storage.read_json(EXPORTS_CONTAINER, name) for name in names]
        if not found or None in found:
            raise DataError(f"file {index} of export {row.id!r} is not converted: were its results deleted?")
        for one in found:
            check_conversion(row, index, one)
        return [{**found[0], "input": cut["input"]}, *found[1:]]

    @staticmethod
    def done(row: ExportRow) -> bool:
        """Whether the attempt is processed. Raises the error that processing gave up with."""
        if row.processing_error:
            found = Failure.from_json(row.processing_error)
            raise DataError(found.message, code=found.code)
        return row.manifest is not None or row.state.terminal

    def give_up(self, ref: AttemptRef, failure: Failure) -> None:
        """Keeps why processing failed, for the run to end the attempt with."""
        error = failure.to_json()
        self.registry.change(
            ref,
            lambda now: None if now.manifest or now.committing else replace(now, processing_error=error),
        )

    def _complete(self, row: ExportRow) -> Any:
        name = row.folder + COMPLETE
        complete = self.storage.read_json(EXPORTS_CONTAINER, name)
        if complete is None:
            raise DataError(f"{EXPORTS_CONTAINER}/{name} is missing: the files were not collected")
        check_complete(row, complete)
        return complete

    def _file(self, row: ExportRow, index: int) -> RawBlob:
        return RawBlob(**self._complete(row)["files"][index])

    def _heavy(
        self, row: ExportRow, step: str, index: int, name: str, part: int | None = None
    ) -> AbstractContextManager[HeavyStep]:
        key = f"{row.ref}-{step}-{index}" + ("" if part is None else f"-{part}")
        of = "" if part is None else f"part {part} of "
        return self.steps.run(key, f"{step} of {of}{EXPORTS_CONTAINER}/{name}", "CONVERT_PART_MB")

    @property
    def _part_bytes(self) -> int:
        return max(int(self.settings.convert_part_mb * 2**20), 1)


def _format(row: ExportRow) -> ExportFormat:
    return ExportFormat(row.file_format or ExportFormat.JSON)


def _table_commit(row: ExportRow, manifest: Mapping[str, Any]) -> TableCommit:
    request = row.request
    return TableCommit(
        app=request.app,
        export_type=export_types.get(request.export_type),
        export_id=row.id,
        attempt=row.attempt,
        requested_at=request.requested_at,
        days=request.days,
        files=tuple(
            NewFile(out["path"], date.fromisoformat(out["date"]), out["rows"], out["bytes"], out["stats"])
            for out in manifest["outputs"]
        ),
        campaign_type=request.campaign.type if request.campaign else None,
        manifest=row.manifest_path,
    )


def _input(blob: RawBlob, size: int, sha256: str) -> dict[str, Any]:
    return {"path": blob.name, "etag": blob.etag, "bytes": size, "sha256": sha256}


def _counts(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in ("records", "rows", "rejected")}
