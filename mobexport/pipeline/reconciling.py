"""Find exports with work left, and clear up after those that have ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mobexport.blob_paths import COMPLETE, EXPORTS_CONTAINER
from mobexport.clock import stamp
from mobexport.errors import MobexportError
from mobexport.pipeline.finishing import Finisher
from mobexport.pipeline.jobs.export_jobs import job_marker, landing_of
from mobexport.pipeline.jobs.source import JobSource
from mobexport.pipeline.registry.export_row import ExportRow, shortened
from mobexport.pipeline.registry.registry import Registry
from mobexport.redact import brief
from mobexport.storage import DataStorage
from mobexport.telemetry.logs import get_logger, log_context

_log = get_logger(__name__)


@dataclass(frozen=True)
class Reconciler:
    """Looks at every export with work left."""

    registry: Registry
    storage: DataStorage
    finisher: Finisher
    source: Callable[[str], JobSource]
    """Job source of an app, by name."""
    late_file_hours: float

    def open_rows(self, now: datetime) -> list[ExportRow]:
        """Exports with work left; what an earlier version wrote comes into the list.

        Landing containers of ended exports are searched for late files and, after a while, deleted.
        """
        rows = list(self.registry.open_rows())
        self.registry.mend_list_once()
        for row in rows:
            if row.state.terminal and row.landing is not None:
                with log_context({"exportId": row.id, "attempt": row.attempt}):
                    self._try_to_clear(row, now)
        return rows

    def _try_to_clear(self, row: ExportRow, now: datetime) -> None:
        try:
            self._clear(row, now)
        except Exception as error:  # noqa: BLE001 - the others go on all the same
            why = brief(error, 300)
            _log.error("export %s: its landing container cannot be cleared: %s", row.id, why)

    def _clear(self, row: ExportRow, now: datetime) -> None:
        """Reports files that came after the collection, and deletes the container when its time is over."""
        assert row.landing is not None
        late = shortened(f"{row.landing}/{name}" for name in self._late_files(row))
        if set(late) - set(row.late_files):
            _log.warning("export %s: files came late and were not processed: %s", row.id, ", ".join(late))
            row = self.registry.amend(row.id, lambda found: replace(found, late_files=late))
        if (row.ended_at or row.updated_at) > stamp(now - timedelta(hours=self.late_file_hours)):
            return
        self._record_left_behind(row)
        if late:
            # Somebody has to look: the container stays until the purge, and the export names it.
            self.registry.amend(row.id, lambda found: replace(found, landing=None))
        else:
            self.finisher.drop_landings(row)

    def _late_files(self, row: ExportRow) -> list[str]:
        assert row.landing is not None
        folder = row.folder
        complete = self.storage.read_json(EXPORTS_CONTAINER, folder + COMPLETE)
        if complete is None:
            return []
        collected = {file["name"].removeprefix(row.files_folder) for file in complete["files"]}
        return [blob.name for blob in self.storage.list_blobs(row.landing) if blob.name not in collected]

    def _record_left_behind(self, row: ExportRow) -> None:
        """Jobs of this attempt that showed up only after another had won."""
        try:
            jobs = self.source(row.request.app).find_by_marker(row.request, job_marker(row))
        except MobexportError as error:
            _log.warning("export %s: cannot look for jobs left behind: %s", row.id, error.message)
            return
        left = [job for job in jobs if job.id != row.job_id and job.id not in row.orphans]
        for job in left:
            if landing := landing_of(job):
                self.storage.delete_container(landing)
        if left:
            ids = tuple(job.id for job in left)
            self.registry.amend(
                row.id, lambda found: replace(found, orphans=shortened((*found.orphans, *ids)))
            )
