"""Copy the files of an export job to `exports/`, and write `_complete.json` last.

A step of `run_export`; it looks at the cancel flag first, and can be repeated at any time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from mobexport.blob_paths import COMPLETE, EXPORTS_CONTAINER
from mobexport.errors import DataError
from mobexport.pipeline.jobs.export_jobs import check_live
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.registry.states import State
from mobexport.storage import DataStorage
from mobexport.untrusted import Unfit, check_file_name, prose
from mobexport.wire import AttemptRef


@dataclass(frozen=True)
class Collector:
    """The step over one registry and one data account."""

    registry: Registry
    storage: DataStorage

    def collect(self, ref: AttemptRef, *, accept_none: bool, row: ExportRow | None = None) -> dict[str, Any]:
        """Copies the landing container's files and writes `_complete.json` last; `row`: as just written.

        `{"files": n}` when done, `{"pending": n}` while server-side copies run, `{"none": True}` where
        there is no file unless `accept_none`, which ends it with no file. The row is won before the last
        file is written: that write, not a blob, decides between a cancel and the collected files. Raises
        DataError for a file's name that cannot be taken over.
        """
        row = check_live(row or self.registry.attempt(ref))
        complete = row.folder + COMPLETE
        # Before that state nobody has written it.
        taken = row.state is State.PROCESSING
        if taken and (done := self.storage.read_json(EXPORTS_CONTAINER, complete)) is not None:
            return {"files": len(done["files"])}
        container, prefix = row.delivered
        found = list(self.storage.list_blobs(container, prefix))
        if not found and not accept_none:
            return {"none": True}
        _check_names(blob.name.removeprefix(prefix) for blob in found)
        pending = sum(
            not self.storage.copy_blob(
                container,
                blob,
                EXPORTS_CONTAINER,
                row.files_folder + blob.name.removeprefix(prefix),
                row.labels(),
            )
            for blob in found
        )
        if pending:
            return {"pending": pending}
        progress = {"files": len(found), "bytes": sum(blob.size for blob in found)}

        def take(now: ExportRow) -> ExportRow:
            return replace(check_live(now), state=State.PROCESSING, files=len(found), progress=progress)

        self.registry.change(ref, take, row)
        self._complete(row, [blob.name.removeprefix(prefix) for blob in found])
        return {"files": len(found)}

    def _complete(self, row: ExportRow, names: list[str]) -> None:
        folder = row.files_folder
        copied = {
            blob.name.removeprefix(folder): blob
            for blob in self.storage.list_blobs(EXPORTS_CONTAINER, folder)
        }
        complete = {
            "version": 1,
            "exportId": row.id,
            "attempt": row.attempt,
            "jobId": row.job_id,
            "files": [copied[name].to_json() for name in names],
        }
        # Whoever is second finds the first one's list, which is the one that counts.
        self.storage.write_json(EXPORTS_CONTAINER, row.folder + COMPLETE, complete, labels=row.labels())


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        try:
            check_file_name(name)
        except Unfit as error:
            shown = prose(name, 100)
            raise DataError(
                f"the export job left a file whose name cannot be used: {shown!r} {error.rule}",
                code="UnfitFileName",
            ) from None
