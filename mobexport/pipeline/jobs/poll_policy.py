"""Poll policy: delays between polls of an export job, and its deadlines; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

from mobexport.pipeline.registry.states import JobState
from mobexport.retry_policy import backoff
from mobexport.wire import Failure, Outcome

# The real host fires timers up to one second early.
EARLY_TIMER: Final = timedelta(seconds=1)


@dataclass(frozen=True)
class PollPolicy:
    """Seconds throughout. A running export keeps the policy it was started with."""

    first: float
    most: float
    queue_deadline: float
    run_deadline: float
    total_deadline: float
    polls_per_generation: int = 50
    """Polls before the orchestration continues as new, which keeps its history small."""

    max_errors: int = 20
    """Polls in a row that may raise before the attempt fails; one that is away is asked until a deadline."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        return cls(**value)


@dataclass(frozen=True)
class PollProgress:
    """Progress of the polling; times are instants in UTC."""

    polls: int
    """Answers so far."""
    errors: int
    """Calls in a row without a usable answer."""
    began: datetime
    """Begin of the attempt."""
    state: JobState
    """Last known state of the job."""
    since: datetime
    """Time at which the job was first seen in that state."""

    @classmethod
    def begin(cls, began: datetime, now: datetime) -> PollProgress:
        """Before the first poll of an attempt that began then."""
        return cls(polls=0, errors=0, began=began, state=JobState.QUEUED, since=now)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "began": self.began.isoformat(), "since": self.since.isoformat()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PollProgress:
        times = {name: datetime.fromisoformat(value[name]) for name in ("began", "since")}
        return cls(**{**value, **times, "state": JobState(value["state"])})


@dataclass(frozen=True)
class Seen:
    """The job as a poll saw it."""

    state: JobState
    error: str | None = None
    """Why the job failed, in its source's words."""
    retry_after: float | None = None
    """Seconds that the source asked to wait before the next call."""


@dataclass(frozen=True)
class Decision:
    """Decision after a poll: the progress, and either the end or the next wait."""

    progress: PollProgress
    end: Outcome | None
    wait: float
    """Seconds until the next poll, if there is one."""

    def to_json(self) -> dict[str, Any]:
        found = {"progress": self.progress.to_json(), "wait": self.wait}
        return found | ({"end": self.end.to_json()} if self.end else {})


def decide(
    policy: PollPolicy, progress: PollProgress, seen: Seen | Failure, token: str, now: datetime
) -> Decision:
    """The decision after a poll that saw the job, or failed; `token` seeds the jitter.

    The end is a success when the job succeeded, else a failure with code `JobFailed`, `TimedOut`, or that of
    a call that cannot be retried.
    """
    after, end = _observe(policy, progress, seen, now)
    return Decision(after, end, delay(policy, after, token, seen.retry_after, now))


def delay(
    policy: PollPolicy, progress: PollProgress, token: str, retry_after: float | None, now: datetime
) -> float:
    """Seconds until the next poll: doubling, with jitter, and not before `Retry-After` or the deadline."""
    number = progress.polls + progress.errors - 1
    wanted = min(retry_after or 0.0, _time_left(policy, progress, now))
    return max(backoff(policy.first, policy.most, max(number, 0), token), wanted)


def _time_left(policy: PollPolicy, progress: PollProgress, now: datetime) -> float:
    limits = {JobState.QUEUED: policy.queue_deadline, JobState.RUNNING: policy.run_deadline}
    here = limits.get(progress.state, policy.total_deadline)
    ends = (
        progress.began + timedelta(seconds=policy.total_deadline),
        progress.since + timedelta(seconds=here),
    )
    return (min(ends) - now).total_seconds()


def passed_deadline(policy: PollPolicy, progress: PollProgress, now: datetime) -> str | None:
    """The limit that has passed, as text for the user; None if none has."""
    limits = {
        JobState.QUEUED: ("QUEUE_DEADLINE", policy.queue_deadline, "Queued"),
        JobState.RUNNING: ("RUN_DEADLINE", policy.run_deadline, "Started"),
    }
    here = limits.get(progress.state)
    if here and now >= progress.since + timedelta(seconds=here[1]) - EARLY_TIMER:
        return f"the export job was {here[2]} for longer than {here[0]} ({_span(here[1])})"
    if now >= progress.began + timedelta(seconds=policy.total_deadline) - EARLY_TIMER:
        return f"the export job did not end within TOTAL_DEADLINE ({_span(policy.total_deadline)})"
    return None


def _observe(
    policy: PollPolicy, progress: PollProgress, seen: Seen | Failure, now: datetime
) -> tuple[PollProgress, Outcome | None]:
    if isinstance(seen, Failure):
        progress = replace(progress, errors=progress.errors + 1)
        if not seen.retryable:
            return progress, Outcome(failure=seen)
    else:
        since = progress.since if seen.state == progress.state else now
        progress = replace(progress, polls=progress.polls + 1, errors=0, state=seen.state, since=since)
        if seen.state is JobState.SUCCEEDED:
            return progress, Outcome({"polls": progress.polls})
        if seen.state is JobState.FAILED:
            why = f"the export job failed: {seen.error or 'it gave no reason'}"
            return progress, Outcome.failed("JobFailed", why, kind="remote")
    late = passed_deadline(policy, progress, now)
    if late and isinstance(seen, Failure):
        late = f"{late}; the last answer: {seen.message}"
    return progress, Outcome.failed("TimedOut", late, kind="deadline") if late else None


def _span(seconds: float) -> str:
    return str(timedelta(seconds=seconds))
