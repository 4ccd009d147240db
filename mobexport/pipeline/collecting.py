"""From a job's landing container to `exports/`: create the job, check on it, collect its files.

The steps of `run_export` up to `_complete.json`. Each looks at the cancel flag first, and each can be
repeated at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError

from mobexport.clock import stamp
from mobexport.errors import MobexportError, Rejected, SourceChanged, Transient
from mobexport.ids import new_container_suffix
from mobexport.pipeline.registry import ExportRow, Registry
from mobexport.pipeline.source import Job, JobSource
from mobexport.pipeline.states import JOB_STATES, State
from mobexport.settings import SAS_MARGIN
from mobexport.storage import EXPORTS_CONTAINER, DataStorage, RawBlob

COMPLETE: Final = "_complete.json"


class Cancelled(MobexportError):
    """The export's cancel flag is set; the run ends the attempt as Cancelled."""

    code = "Cancelled"
    kind = "cancelled"


@dataclass(frozen=True)
class Collector:
    """The steps over one registry, one job source and one data account."""

    registry: Registry
    source: JobSource
    storage: DataStorage

    def create_job(self, export_id: str, attempt: int, total_deadline: float) -> dict[str, Any]:
        """Makes sure that the attempt has an export job; `{"jobId"}`.

        The API has no idempotency key. So: look for a task of ours by its token, else create one with
        a container of its own, then win the registry row. Only the winner's container is ever read.
        """
        row = self._row(export_id, attempt)
        if row.job_id is None:
            token = f"mobexport/{export_id}/{attempt}/"
            found = self.source.find_by_token(row.request, token)
            job = found[0] if found else self._create(row, token, total_deadline)
            row = self._win(row, job, tuple(other.id for other in found[1:]))
        assert row.job_id is not None
        return {"jobId": row.job_id}

    def _create(self, row: ExportRow, token: str, total_deadline: float) -> Job:
        landing = f"landing-{new_container_suffix()}"
        self.storage.container(landing)
        url = self.storage.container_write_url(landing, timedelta(seconds=total_deadline) + SAS_MARGIN)
        job = self.source.create(row.request, url, token + landing)
        # A server need not repeat the description in its answer.
        return replace(job, description=token + landing)

    def _win(self, row: ExportRow, job: Job, others: tuple[str, ...]) -> ExportRow:
        landing = job.description.rsplit("/", 1)[-1]

        def take(now: ExportRow) -> ExportRow:
            if now.job_id is not None:
                lost = () if now.job_id == job.id else (job.id,)
                return replace(now, orphans=tuple(dict.fromkeys((*now.orphans, *lost))))
            return replace(
                now,
                state=State.SUBMITTED,
                job_id=job.id,
                landing=landing,
                orphans=tuple(dict.fromkeys((*now.orphans, *others))),
            )

        return self.registry.change(row.id, row.attempt, take)

    def check_job(self, export_id: str, attempt: int, polls: int) -> dict[str, Any]:
        """The job's state in our words: `{"state", "error", "retryAfter"}`.

        Raises Rejected for a state that the contract does not know: never "still running".
        """
        row = self._row(export_id, attempt)
        assert row.job_id is not None
        job = self.source.status(row.request, row.job_id)
        state = JOB_STATES.get(job.state)
        if state is None:
            raise Rejected(
                f"the Export API showed job {row.job_id} in unknown state {job.state[:40]!r}",
                code="UnknownState",
            )
        progress = {"polls": polls + 1, "polledAt": stamp()}
        self.registry.change(
            export_id,
            attempt,
            # A job that failed ends the attempt; that move is the run's alone.
            lambda now: replace(now, state=now.state if state.terminal else state, progress=progress),
        )
        return {"state": str(state), "error": job.error, "retryAfter": job.retry_after}

    def collect(self, export_id: str, attempt: int, *, accept_none: bool) -> dict[str, Any]:
        """Copies the landing container's files and writes `_complete.json` last.

        `{"files": n}` when done, `{"pending": n}` while server-side copies run, `{"none": True}` for an
        empty container unless `accept_none`, which ends it with no file.
        """
        row = self._row(export_id, attempt)
        folder = export_folder(row)
        done = self.storage.read_json(EXPORTS_CONTAINER, folder + COMPLETE)
        if done is None:
            assert row.landing is not None
            found = list(self.storage.list_blobs(row.landing))
            if not found and not accept_none:
                return {"none": True}
            pending = sum(not self._copy(row.landing, blob, folder) for blob in found)
            if pending:
                return {"pending": pending}
            done = self._complete(row, found, folder)
        files = len(done["files"])
        self.registry.change(
            export_id,
            attempt,
            lambda now: replace(now, state=State.PROCESSING, files=files, progress={"files": files}),
        )
        return {"files": files}

    def _copy(self, landing: str, blob: RawBlob, folder: str) -> bool:
        """Whether the copy is complete; starts it if nobody did."""
        target = self.storage.container(EXPORTS_CONTAINER).get_blob_client(folder + blob.name)
        source = self.storage.container(landing, create=False).get_blob_client(blob.name)
        try:
            target.start_copy_from_url(
                source.url,
                source_etag=blob.etag,
                source_match_condition=MatchConditions.IfNotModified,
                match_condition=MatchConditions.IfMissing,
            )
        except ResourceExistsError:
            pass
        except HttpResponseError as error:
            if error.status_code == 412:
                raise SourceChanged(f"{blob.name} was replaced while it was collected") from None
            raise
        copy = target.get_blob_properties()
        if copy.copy.status in ("failed", "aborted"):
            target.delete_blob()
            raise Transient(f"the server-side copy of {blob.name} ended as {copy.copy.status}")
        return copy.copy.status in (None, "success") and copy.size == blob.size

    def _complete(self, row: ExportRow, found: list[RawBlob], folder: str) -> Mapping[str, Any]:
        copied = {
            blob.name.removeprefix(folder): blob
            for blob in self.storage.list_blobs(EXPORTS_CONTAINER, folder)
        }
        complete = {
            "version": 1,
            "exportId": row.id,
            "attempt": row.attempt,
            "jobId": row.job_id,
            "files": [copied[blob.name].to_json() for blob in found],
        }
        # Whoever is second finds the first one's list, which is the one that counts.
        self.storage.write_json(EXPORTS_CONTAINER, folder + COMPLETE, complete)
        return dict(self.storage.read_json(EXPORTS_CONTAINER, folder + COMPLETE))

    def _row(self, export_id: str, attempt: int) -> ExportRow:
        row = self.registry.attempt(export_id, attempt)
        if row.cancel_requested and row.state.cancellable:
            raise Cancelled(f"export {export_id!r} was cancelled")
        return row


def export_folder(row: ExportRow) -> str:
    """`{app}/{type}/{export id}/{attempt}/` below `exports`."""
    return f"{row.request.app}/{row.request.export_type}/{row.id}/{row.attempt}/"


def parse_complete_name(name: str) -> tuple[str, int] | None:
    """Export id and attempt of a path `…/{export id}/{attempt}/_complete.json`; None for others."""
    parts = name.split("/")
    if len(parts) < 3 or parts[-1] != COMPLETE or not parts[-2].isdecimal():
        return None
    return parts[-3], int(parts[-2])
