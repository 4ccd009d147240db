"""Call activities and wait, in orchestrators: retries written out, one timer at a time.

The SDK's own retries have no back-off and break determinism next to other work, so they are not used.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from durable_app.sdk import Context, Steps, Task
from mobexport import durable_names as names
from mobexport.liveness import word
from mobexport.retry_policy import STEP, RetryPolicy, next_delay
from mobexport.wire import Outcome, RunLane, Step

_EARLY_SECONDS: Final = 1.0  # The real host fires timers up to one second early.
_LATE: Final = "it was tried until TOTAL_DEADLINE"
_LANE_LOSSES: Final = 3
"""Times that one lane may be lost by the platform."""


def call(
    context: Context,
    name: str,
    step: Step,
    policy: RetryPolicy = STEP,
    wake: Task | None = None,
    deadline: datetime | None = None,
) -> Steps:
    """Calls an activity until it succeeds, cannot succeed, or the policy is used up; the last Outcome.

    One that raised is tried again as well, since its worker may have died. `wake` cuts a wait short. A try
    that would begin after the deadline begins at it, and is the last.
    """
    tried = 0
    while True:
        given = replace(step, tried=tried, trace=trace_of(context))
        _promise(context, names.longest(name))
        try:
            outcome = Outcome.from_json((yield context.call_activity(name, given.to_json())))
        except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions
            outcome = step_failed(error)
        tried += 1
        failure = outcome.failure
        if failure is None:
            return outcome
        delay = next_delay(policy, tried, f"{context.instance_id}/{name}", failure)
        if delay is None:
            return outcome
        if deadline is not None:
            left = (deadline - context.current_utc_datetime).total_seconds()
            if left <= _EARLY_SECONDS:
                return Outcome.failed("TimedOut", f"{_LATE}: {failure.message}", kind="deadline")
            delay = min(delay, left)
        yield from pause(context, delay, wake)


def side_by_side(context: Context, activity: str, step: Step, count: int, lanes: int) -> Steps:
    """Calls an activity with all numbers below `count`, in lanes: as many at a time and no more, each with
    its own retries. The first failure there is, else the last Outcome, when all lanes have ended.

    A lane that the platform lost is called again, under a new id; what it had done it finds done.
    """
    lanes = min(lanes, count)
    going: dict[str, tuple[RunLane, int, Task]] = {}

    def begin(message: RunLane, lost: int) -> None:
        instance = f"lane-{context.new_uuid()}"
        task = context.call_sub_orchestrator(names.RUN_TASK_LANE, message.to_json(), instance)
        going[instance] = (message, lost, task)

    for lane in range(lanes):
        begin(
            RunLane(
                activity=activity,
                step=step.to_json(),
                next=lane,
                stride=lanes,
                end=count,
                trace=trace_of(context),
            ),
            0,
        )
    found = Outcome()
    while going:
        context.set_custom_status(word(None, tuple(going)))
        yield context.task_any([task for _, _, task in going.values()])
        for instance, (message, lost, task) in list(going.items()):
            if not task.is_completed:
                continue
            del going[instance]
            if isinstance(task.result, Exception):
                if lost < _LANE_LOSSES:
                    begin(message, lost + 1)
                    continue
                outcome = step_failed(task.result)
            else:
                outcome = Outcome.from_json(task.result)
            found = found if found.failure else outcome
    return found


def pause(context: Context, seconds: float, wake: Task | None = None) -> Steps:
    """Waits by a durable timer, or until `wake` completes if it has not yet.

    One `wake` per execution races every timer: a wait of its own for each would swallow events.
    """
    _promise(context, seconds)
    timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=seconds))
    if wake is None or wake.is_completed:
        yield timer
        return
    winner = yield context.task_any([timer, wake])
    if winner is not timer:
        timer.cancel()


def _promise(context: Context, seconds: float) -> None:
    """Says until when this orchestration will have moved on; `durable_app/healing.py` reads it."""
    context.set_custom_status(word(context.current_utc_datetime + timedelta(seconds=seconds)))


def trace_of(context: Context) -> str | None:
    """The trace that this orchestration's input carries."""
    trace: str | None = context.get_input().get("trace")
    return trace


def step_failed(error: Exception) -> Outcome:
    """The outcome of a task that raised."""
    return Outcome.failed("StepFailed", reason(error), kind="bug", retryable=True)


def reason(error: Exception) -> str:
    """The error of a failed task: its first line only, since the host's details follow."""
    return next(iter(str(error).splitlines()), "")[:500] or "no reason given"
