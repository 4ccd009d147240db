"""Call activities and wait, in orchestrators: retries written out, one timer at a time.

The SDK's own retries have no back-off and break determinism next to other work, so they are not used.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from durable_app.sdk import Context, Steps, Task
from mobexport import durable_names as names
from mobexport.retry_policy import STEP, RetryPolicy, next_delay
from mobexport.wire import Outcome, RunLane, Step


def call(
    context: Context,
    name: str,
    step: Step,
    policy: RetryPolicy = STEP,
    wake: Task | None = None,
) -> Steps:
    """Calls an activity until it succeeds, cannot succeed, or the policy is used up; the last Outcome.

    One that raised is tried again as well, since its worker may have died. `wake` cuts a wait short.
    """
    tried = 0
    while True:
        given = replace(step, tried=tried, trace=trace_of(context))
        try:
            outcome = Outcome.from_json((yield context.call_activity(name, given.to_json())))
        except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions
            outcome = step_failed(error)
        tried += 1
        failure = outcome.failure
        delay = next_delay(policy, tried, f"{context.instance_id}/{name}", failure) if failure else None
        if delay is None:
            return outcome
        yield from pause(context, delay, wake)


def side_by_side(context: Context, activity: str, step: Step, count: int, lanes: int) -> Steps:
    """Calls an activity with all numbers below `count`, in lanes: as many at a time and no more, each with
    its own retries. The first failure there is, else the first lane's Outcome."""
    lanes = min(lanes, count)
    messages = [
        RunLane(
            activity=activity,
            step=step.to_json(),
            next=lane,
            stride=lanes,
            end=count,
            trace=trace_of(context),
        )
        for lane in range(lanes)
    ]
    tasks = [context.call_sub_orchestrator(names.RUN_TASK_LANE, message.to_json()) for message in messages]
    try:
        results: list[Any] = yield context.task_all(tasks)
    except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions
        return step_failed(error)
    outcomes = [Outcome.from_json(result) for result in results]
    return next((outcome for outcome in outcomes if outcome.failure), outcomes[0])


def pause(context: Context, seconds: float, wake: Task | None = None) -> Steps:
    """Waits by a durable timer, or until `wake` completes if it has not yet.

    One `wake` per execution races every timer: a wait of its own for each would swallow events.
    """
    timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=seconds))
    if wake is None or wake.is_completed:
        yield timer
        return
    winner = yield context.task_any([timer, wake])
    if winner is not timer:
        timer.cancel()


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
