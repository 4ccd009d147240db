"""From a job's landing container to `exports/`: create the job, check on it, collect its files.

The steps of `run_export` up to `_complete.json`. Each looks at the cancel flag first, and each can be
repeated at any time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from mobexport import clock
from mobexport.clock import stamp
from mobexport.errors import MobexportError, Rejected, Transient
from mobexport.ids import new_container_suffix
from mobexport.pipeline.jobs.poll_policy import PollPolicy, PollProgress, delay, observe
from mobexport.pipeline.jobs.source import Job, JobSource
from mobexport.pipeline.registry.destinations import Destinations
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.registry.states import JOB_STATES, State
from mobexport.settings import SAS_MARGIN
from mobexport.storage import EXPORTS_CONTAINER, DataStorage, RawBlob

COMPLETE: Final = "_complete.json"
_LANDING: Final = re.compile(r"landing-[0-9a-f]{20}")


class Cancelled(MobexportError):
    """The export's cancel flag is set; the run ends the attempt as Cancelled."""

    code = "Cancelled"
    kind = "cancelled"


class Ended(MobexportError):
    """The attempt has ended already: a step that is repeated after the end does nothing."""

    code = "Ended"
    kind = "ended"


@dataclass(frozen=True)
class Collector:
    """The steps over one registry, one job source and one data account."""

    registry: Registry
    source: JobSource
    storage: DataStorage

    def create_job(self, export_id: str, attempt: int, total_deadline: float) -> dict[str, Any]:
        """Makes sure that the attempt has an export job; `{"phase", "began", "collect"}`.

        `phase` is where the run goes on (also after it was lost in the middle and started again), `began`
        when the attempt did, `collect` whether the files are ours to collect. The API has no idempotency
        key. So: look for a task of ours by its token, else create one with a container of its own, then
        win the registry row. Only the winner's container is ever read.
        """
        row = self._row(export_id, attempt)
        if row.job_id is None:
            token = job_token(row)
            jobs = [job for job in self.source.find_by_token(row.request, token) if _is_ours(row, job)]
            row = self._win(row, jobs or [self._create(row, token, total_deadline)])
        return {
            "phase": row.state.phase,
            "began": row.began_at,
            "collect": row.request.destination is None,
        }

    def _create(self, row: ExportRow, token: str, total_deadline: float) -> Job:
        if row.request.destination is None:
            landing = f"landing-{new_container_suffix()}"
            self.storage.container(landing)
            # The deadline counts from the attempt's begin, and so does the SAS that must outlive it.
            spent = clock.now() - datetime.fromisoformat(row.began_at)
            left = max(timedelta(seconds=total_deadline) - spent, timedelta(0))
            url = self.storage.container_write_url(landing, left + SAS_MARGIN)
        else:
            landing = ""
            url = Destinations(self.storage).get(row.id, row.attempt)
        job = self.source.create(row.request, url, token + landing)
        # A server need not repeat the description in its answer.
        return replace(job, description=token + landing)

    def _win(self, row: ExportRow, jobs: Sequence[Job]) -> ExportRow:
        first = jobs[0]

        def take(now: ExportRow) -> ExportRow | None:
            if now.job_id is not None:
                return None
            return replace(now, state=State.SUBMITTED, job_id=first.id, landing=landing_of(first))

        row = self.registry.change(row.id, row.attempt, take)
        lost = [job for job in jobs if job.id != row.job_id]
        if lost:
            ids = [job.id for job in lost]
            self.registry.amend(
                row.id, lambda now: replace(now, orphans=tuple(dict.fromkeys((*now.orphans, *ids))))
            )
        for job in lost:
            # What nobody will read is not to be written either: that job ends for want of its container.
            if landing := landing_of(job):
                self.storage.delete_container(landing)
        return self._checked(row)

    def check_job(
        self, export_id: str, attempt: int, policy: PollPolicy, progress: PollProgress
    ) -> dict[str, Any]:
        """The job's state in our words: `{"state", "error", "retryAfter"}`.

        The row shows how far the polling is, and when it goes on by that policy. Raises Rejected for a state
        that the contract does not know: never "still running".
        """
        row = self._row(export_id, attempt)
        assert row.job_id is not None
        try:
            job = self.source.status(row.request, row.job_id)
        except Rejected as error:
            if error.status == 404 and row.state is State.SUBMITTED:
                # A server may show a task late; one that was never seen is looked for again.
                raise Transient(error.message, status=404) from None
            raise
        state = JOB_STATES.get(job.state)
        if state is None:
            raise Rejected(
                f"the Export API showed job {row.job_id} in unknown state {job.state[:40]!r}",
                code="UnknownState",
            )
        answer = {"state": str(state), "error": job.error, "retryAfter": job.retry_after}
        at = clock.now()
        after, end = observe(policy, progress, {"ok": answer}, at)
        shown = {"polls": after.polls, "polledAt": stamp(at)}
        if end is None:
            wait = delay(policy, after, export_id, job.retry_after, at)
            shown["nextPollAt"] = stamp(at + timedelta(seconds=wait))
        self.registry.change(
            export_id,
            attempt,
            # A job that failed ends the attempt; that move is the run's alone.
            lambda now: replace(now, state=now.state if state.terminal else state, progress=shown),
        )
        return answer

    def collect(self, export_id: str, attempt: int, *, accept_none: bool) -> dict[str, Any]:
        """Copies the landing container's files and writes `_complete.json` last.

        `{"files": n}` when done, `{"pending": n}` while server-side copies run, `{"none": True}` for an
        empty container unless `accept_none`, which ends it with no file. The row is won before the last
        file is written: that write, not a blob, decides between a cancel and the collected files.
        """
        row = self._row(export_id, attempt)
        folder = export_folder(row)
        done = self.storage.read_json(EXPORTS_CONTAINER, folder + COMPLETE)
        if done is None:
            assert row.landing is not None
            found = list(self.storage.list_blobs(row.landing))
            if not found and not accept_none:
                return {"none": True}
            pending = sum(
                not self.storage.copy_blob(row.landing, blob, EXPORTS_CONTAINER, folder + blob.name)
                for blob in found
            )
            if pending:
                return {"pending": pending}
            self._take_files(row)
            done = self._complete(row, found, folder)
        files = len(done["files"])
        progress = {"files": files, "bytes": sum(file["size"] for file in done["files"])}
        self.registry.change(export_id, attempt, lambda now: replace(now, files=files, progress=progress))
        return {"files": files}

    def _take_files(self, row: ExportRow) -> None:
        def move(now: ExportRow) -> ExportRow:
            return replace(self._checked(now), state=State.PROCESSING)

        self.registry.change(row.id, row.attempt, move)

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
        return self._checked(self.registry.attempt(export_id, attempt))

    @staticmethod
    def _checked(row: ExportRow) -> ExportRow:
        if row.state.terminal:
            raise Ended(f"export {row.id!r} is {row.state}")
        if row.cancel_requested and row.state.cancellable:
            raise Cancelled(f"export {row.id!r} was cancelled")
        return row


def job_token(row: ExportRow) -> str:
    """How the description of each of the attempt's jobs begins; the name of its container follows."""
    return f"mobexport/{row.id}/{row.attempt}/"


def landing_of(job: Job) -> str | None:
    """The landing container of a job of ours; None if it writes elsewhere.

    The description comes back from the server: nothing but a landing container is ever made of it.
    """
    name = job.description.rsplit("/", 1)[-1]
    return name if _LANDING.fullmatch(name) else None


def _is_ours(row: ExportRow, job: Job) -> bool:
    return row.request.destination is not None or landing_of(job) is not None


def export_folder(row: ExportRow) -> str:
    """`{app}/{type}/{export id}/{attempt}/` below `exports`."""
    return f"{row.request.app}/{row.request.export_type}/{row.id}/{row.attempt}/"


def parse_complete_name(name: str) -> tuple[str, int] | None:
    """Export id and attempt of a path `…/{export id}/{attempt}/_complete.json`; None for others."""
    parts = name.split("/")
    if len(parts) < 3 or parts[-1] != COMPLETE or not parts[-2].isdecimal():
        return None
    return parts[-3], int(parts[-2])
