"""Create an attempt's export job and check on it: the steps of `run_export` until the job has ended.

Each looks at the cancel flag first, and each can be repeated at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from mobexport import clock
from mobexport.blob_paths import is_landing, landing_prefix
from mobexport.clock import stamp
from mobexport.errors import AttemptEnded, Cancelled, Rejected, Transient
from mobexport.ids import new_secret_name
from mobexport.pipeline.jobs.poll_policy import Decision, PollPolicy, PollProgress, Seen, decide
from mobexport.pipeline.jobs.source import Delivery, Job, JobSource
from mobexport.pipeline.registry.destinations import Destinations
from mobexport.pipeline.registry.export_row import ExportRow, shortened
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.registry.states import STATE_OF_JOB, JobState, State
from mobexport.settings import SAS_MARGIN
from mobexport.storage import DataStorage, known_error
from mobexport.wire import AttemptRef, Failure


@dataclass(frozen=True)
class ExportJobs:
    """The steps over one registry and one data account."""

    registry: Registry
    source: Callable[[str], JobSource]
    """Job source of an app, by its name."""
    storage: DataStorage

    def create(self, ref: AttemptRef, total_deadline: float, *, repeated: bool = False) -> dict[str, Any]:
        """Makes sure that the attempt has an export job; `{"phase", "collect"}`.

        `repeated`: an earlier try may have made a container whose job nobody knows.

        `phase` is where the run goes on (also after it was lost in the middle and started again), `collect`
        whether the files are ours to collect. The API has no idempotency
        key. So: look for a job of ours by its marker, else create one with a container of its own, then
        win the registry row. Only the winner's container is ever read.
        """
        row = check_live(self.registry.attempt(ref))
        if row.job_id is None:
            marker = job_marker(row)
            source = self.source(row.request.app)
            jobs = [job for job in source.find_by_marker(row.request, marker) if _is_ours(row, source, job)]
            row = self._win(row, source, jobs or [self._create(row, source, marker, total_deadline)])
            if repeated or row.restarts:
                drop_other_landings(self.storage, row)
        return {"phase": row.state.phase, "collect": row.request.destination is None}

    def _create(self, row: ExportRow, source: JobSource, marker: str, total_deadline: float) -> Job:
        if source.delivery is Delivery.LEFT:
            return self._create_left(row, source, marker)
        if row.request.destination is None:
            landing = landing_prefix(row.marker or new_secret_name()) + new_secret_name()[:10]
            self.storage.container(landing)
            # The deadline counts from the attempt's begin, and so does the SAS that must outlive it.
            spent = clock.now() - datetime.fromisoformat(row.began_at)
            left = max(timedelta(seconds=total_deadline) - spent, timedelta(0))
            url = self.storage.container_write_url(landing, left + SAS_MARGIN)
        else:
            landing = ""
            url = Destinations(self.storage).get(row.ref)
        job = source.create(row.request, url, marker + landing)
        # A server need not repeat the description in its answer.
        return replace(job, description=marker + landing)

    @staticmethod
    def _create_left(row: ExportRow, source: JobSource, marker: str) -> Job:
        if row.request.destination is not None:
            raise Rejected(
                "this app's source delivers to no container of yours: leave containerUrl out",
                code="NoDestination",
            )
        return replace(source.create(row.request, None, marker), description=marker)

    def _win(self, row: ExportRow, source: JobSource, jobs: Sequence[Job]) -> ExportRow:
        first = jobs[0]

        def take(now: ExportRow) -> ExportRow | None:
            if now.job_id is not None:
                return None
            return replace(
                now,
                state=State.SUBMITTED,
                job_id=first.id,
                landing=landing_of(first),
                file_format=source.file_format,
            )

        row = self.registry.change(row.ref, take, row)
        lost = [job for job in jobs if job.id != row.job_id]
        if lost:
            ids = [job.id for job in lost]
            self.registry.amend(row.id, lambda now: replace(now, orphans=shortened((*now.orphans, *ids))))
        for job in lost:
            # Nobody will read this job's files: without its container the job fails.
            if landing := landing_of(job):
                self.storage.delete_container(landing)
        return check_live(row)

    def check(
        self, ref: AttemptRef, policy: PollPolicy, progress: PollProgress, now: datetime
    ) -> tuple[Decision, ExportRow | None]:
        """Asks for the job's state and decides what follows; also the row, where there are files to collect.

        `now` is the orchestrator's clock, as in its timers; deadlines go by it. The row shows the progress of
        the polling, and when it goes on. An expected failure is part of the decision, which counts it.
        """
        row: ExportRow | None = None
        job: Job | None = None
        seen: Seen | Failure
        try:
            row = check_live(self.registry.attempt(ref))
            job, seen = self._ask(row)
        except Exception as error:
            known = known_error(error)
            if known is None:
                raise
            seen = Failure.of(known)
        decision = decide(policy, progress, seen, ref.export_id, now)
        if row is not None and job is not None and isinstance(seen, Seen):
            folder, counts = job.folder, job.counts
            state = STATE_OF_JOB[seen.state]
            at = clock.now()
            shown: dict[str, Any] = {"polls": decision.progress.polls, "polledAt": stamp(at)}
            if decision.end is None:
                shown["nextPollAt"] = stamp(at + timedelta(seconds=decision.wait))
            row = self.registry.change(
                ref,
                # A job that failed ends the attempt; that move is the run's alone.
                lambda now: replace(
                    now,
                    state=now.state if state.terminal else state,
                    progress=shown,
                    source_folder=folder or now.source_folder,
                    raw_counts=counts or now.raw_counts,
                ),
                row,
            )
        succeeded = decision.end is not None and decision.end.failure is None
        return decision, row if succeeded and row and row.request.destination is None else None

    def _ask(self, row: ExportRow) -> tuple[Job, Seen]:
        """Raises Rejected for a state that the source does not know: never "still running"."""
        assert row.job_id is not None
        source = self.source(row.request.app)
        try:
            job = source.status(row.request, row.job_id)
        except Rejected as error:
            if error.status == 404 and row.state is State.SUBMITTED:
                # A server may show a task late; one that was never seen is looked for again.
                raise Transient(error.message, status=404) from None
            raise
        state = source.states.get(job.state)
        if state is None:
            raise Rejected(
                f"the source showed job {row.job_id} in unknown state {job.state[:40]!r}",
                code="UnknownState",
            )
        if state is JobState.SUCCEEDED and source.delivery is Delivery.LEFT and not job.folder:
            raise Rejected(f"the source showed no folder for job {row.job_id}", code="NoFolder")
        return job, Seen(state, job.error, job.retry_after)


def check_live(row: ExportRow) -> ExportRow:
    """The row. Raises AttemptEnded, or Cancelled while a cancel still has an effect."""
    if row.state.terminal:
        raise AttemptEnded(f"export {row.id!r} is {row.state}")
    if row.cancel_requested and row.state.cancellable:
        raise Cancelled(f"export {row.id!r} was cancelled")
    return row


def job_marker(row: ExportRow) -> str:
    """Beginning of the description of each of the attempt's jobs; the name of its container follows.

    Nobody who does not see these jobs can make one that begins so.
    """
    return f"mobexport/{row.id}/{row.attempt}/" + (f"{row.marker}/" if row.marker else "")


def drop_other_landings(storage: DataStorage, row: ExportRow) -> None:
    """Deletes the attempt's landing containers whose files nobody will read, known to a job or not."""
    if row.marker is not None:
        for name, _ in storage.list_containers(landing_prefix(row.marker)):
            if name != row.landing:
                storage.delete_container(name)


def landing_of(job: Job) -> str | None:
    """The landing container of a job of ours; None if it writes elsewhere.

    The description comes back from the server, so only the name of a landing container is accepted.
    """
    name = job.description.rsplit("/", 1)[-1]
    return name if is_landing(name) else None


def _is_ours(row: ExportRow, source: JobSource, job: Job) -> bool:
    pushed_to_us = source.delivery is Delivery.PUSHED and row.request.destination is None
    return landing_of(job) is not None if pushed_to_us else True
