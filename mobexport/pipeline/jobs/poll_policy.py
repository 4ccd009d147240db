"""When an export job is polled again, and when the pipeline stops waiting for it; pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from mobexport.pipeline.registry.states import State
from mobexport.retry_policy import backoff

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
    """Polls until the orchestration continues as new, which keeps its history small."""

    max_errors: int = 20
    """Calls in a row without a usable answer before the attempt fails."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class PollProgress:
    """What the polling knows so far; times are instants in UTC."""

    polls: int
    """Answers so far."""
    errors: int
    """Calls in a row without a usable answer."""
    began: datetime
    """When the attempt began."""
    state: str
    """Last known state of the job."""
    since: datetime
    """When the job was first seen in that state."""

    def to_json(self) -> dict[str, Any]:
        # Not `asdict`, which copies deeply: each replay makes this again for every poll.
        return {
            "polls": self.polls,
            "errors": self.errors,
            "began": self.began.isoformat(),
            "state": self.state,
            "since": self.since.isoformat(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PollProgress:
        times = {name: datetime.fromisoformat(value[name]) for name in ("began", "since")}
        return cls(**{**value, **times})


def delay(
    policy: PollPolicy, progress: PollProgress, token: str, retry_after: float | None, now: datetime
) -> float:
    """Seconds until the next poll: doubling, with jitter, and not before `Retry-After` or the deadline."""
    number = progress.polls + progress.errors - 1
    wanted = min(retry_after or 0.0, _time_left(policy, progress, now))
    return max(backoff(policy.first, policy.most, max(number, 0), token), wanted)


def _time_left(policy: PollPolicy, progress: PollProgress, now: datetime) -> float:
    limits = {State.QUEUED: policy.queue_deadline, State.RUNNING: policy.run_deadline}
    here = limits.get(State(progress.state), policy.total_deadline)
    ends = (
        progress.began + timedelta(seconds=policy.total_deadline),
        progress.since + timedelta(seconds=here),
    )
    return (min(ends) - now).total_seconds()


def passed_deadline(policy: PollPolicy, progress: PollProgress, now: datetime) -> str | None:
    """Which limit is over, as text for the user; None if none is."""
    limits = {State.QUEUED: ("QUEUE_DEADLINE", policy.queue_deadline, "Queued")}
    limits[State.RUNNING] = ("RUN_DEADLINE", policy.run_deadline, "Started")
    here = limits.get(State(progress.state))
    if here and now >= progress.since + timedelta(seconds=here[1]) - EARLY_TIMER:
        return f"the export job was {here[2]} for longer than {here[0]} ({_span(here[1])})"
    if now >= progress.began + timedelta(seconds=policy.total_deadline) - EARLY_TIMER:
        return f"the export job did not end within TOTAL_DEADLINE ({_span(policy.total_deadline)})"
    return None


def observe(
    policy: PollPolicy, progress: PollProgress, outcome: dict[str, Any], now: datetime
) -> tuple[PollProgress, dict[str, Any] | None]:
    """What one poll's outcome means: the new progress, and how the polling ends if it does.

    The end is an outcome itself: `{"ok": …}` when the job succeeded, else `{"error": …}` with code
    `JobFailed`, `TimedOut`, `Cancelled`, or that of the call that cannot be retried.
    """
    error = outcome.get("error")
    if error:
        progress = replace(progress, errors=progress.errors + 1)
        if not error.get("retryable") or progress.errors >= policy.max_errors:
            return progress, outcome
    else:
        seen = State(outcome["ok"]["state"])
        since = progress.since if seen == progress.state else now
        progress = replace(progress, polls=progress.polls + 1, errors=0, state=str(seen), since=since)
        if seen is State.COLLECTING:
            return progress, {"ok": {"polls": progress.polls}}
        if seen is State.FAILED:
            reason = outcome["ok"].get("error") or "it gave no reason"
            return progress, failure("JobFailed", f"the export job failed: {reason}", kind="remote")
    late = passed_deadline(policy, progress, now)
    return progress, failure("TimedOut", late, kind="deadline") if late else None


def failure(code: str, message: str, *, kind: str) -> dict[str, Any]:
    """An outcome that ends the attempt."""
    return {"error": {"code": code, "kind": kind, "message": message, "retryable": False}}


def _span(seconds: float) -> str:
    return str(timedelta(seconds=seconds))
