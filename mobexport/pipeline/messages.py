"""Messages of the pipeline's orchestrations and activities; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mobexport.pipeline.jobs.poll_policy import PollPolicy
from mobexport.wire import AttemptRef, Message, Outcome, Step


@dataclass(frozen=True, kw_only=True)
class _OfAttempt(Message):
    export_id: str
    attempt: int

    @property
    def ref(self) -> AttemptRef:
        return AttemptRef(self.export_id, self.attempt)


@dataclass(frozen=True, kw_only=True)
class RunExport(_OfAttempt):
    """Input of `run_export`, with the settings of the moment: a running export never sees a change."""

    policy: PollPolicy
    began: str
    """Begin of the attempt, RFC 3339 in UTC: its deadlines count from here."""
    grace_seconds: float
    """Seconds that the run waits for the blob trigger before it starts processing itself."""
    progress: Mapping[str, Any] | None = None
    """A PollProgress in JSON, which only the activity reads; None before the first poll."""


@dataclass(frozen=True, kw_only=True)
class ProcessExport(_OfAttempt):
    """Input of `process_export`."""

    started_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeliverNotification(_OfAttempt):
    """Input of `deliver_notification`."""

    target: str


@dataclass(frozen=True, kw_only=True)
class RunBatch(Message):
    """Input of `run_batch`."""

    batch_id: str
    idle: int = 0
    """Rounds in which nothing ended."""


@dataclass(frozen=True, kw_only=True)
class AttemptStep(_OfAttempt, Step):
    """A step of an attempt."""


@dataclass(frozen=True, kw_only=True)
class CreateJob(AttemptStep):
    """Input of `create_export_job`."""

    total_deadline: float
    """Seconds."""


@dataclass(frozen=True, kw_only=True)
class CheckJob(AttemptStep):
    """Input of `check_export_job`."""

    policy: PollPolicy
    progress: Mapping[str, Any]
    now: str
    """The orchestrator's clock: when this poll was due, RFC 3339 in UTC."""


@dataclass(frozen=True, kw_only=True)
class CollectFiles(AttemptStep):
    """Input of `collect_files`."""

    accept_none: bool
    """Whether an empty container is a result."""


@dataclass(frozen=True, kw_only=True)
class EnsureProcessing(AttemptStep):
    """Input of `ensure_processing_started`."""

    round: int


@dataclass(frozen=True, kw_only=True)
class EndStep(AttemptStep):
    """Input of `give_up_processing` and `finish_export`: the outcome of the work."""

    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class ConvertFile(AttemptStep):
    """Input of `convert_file` and `find_parts`."""

    index: int
    """Of the collected file, from 0."""


@dataclass(frozen=True, kw_only=True)
class ConvertPart(ConvertFile):
    """Input of `convert_part`."""

    number: int
    """Of the part, from 0."""


@dataclass(frozen=True, kw_only=True)
class BeginProcessing(AttemptStep):
    """Input of `begin_processing`."""

    started_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class CommitExport(AttemptStep):
    """Input of `commit_export`."""

    started_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class SendNotification(AttemptStep):
    """Input of `send_notification`."""

    target: str
    attempts: int
    """Maximal number of tries."""


@dataclass(frozen=True, kw_only=True)
class AdvanceBatch(Step):
    """Input of `advance_batch`."""

    batch_id: str
