"""How orchestrators call activities and wait: retries written out, one timer at a time.

The SDK's own retries know no growth and break determinism next to other work, so they are not used.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from durable import Context, Outcome, Steps, Task
from mobexport import durable_names as names
from mobexport.retry_policy import STEP, RetryPolicy, next_delay


def once(context: Context, name: str, step: dict[str, Any]) -> Steps:
    """Calls an activity once; one that raised becomes a retryable error, since its worker may have died."""
    try:
        outcome: Outcome = yield context.call_activity(name, {**step, **trace_of(context)})
    except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions
        return step_failed(error)
    return outcome


def trace_of(context: Context) -> dict[str, Any]:
    """`{"trace"}` as this orchestration's input has it, for the input of what it calls; else nothing."""
    given = context.get_input()
    return {"trace": given["trace"]} if given.get("trace") else {}


def step_failed(error: Exception) -> Outcome:
    """The outcome of a step that raised."""
    return {"error": {"code": "StepFailed", "kind": "bug", "message": reason(error), "retryable": True}}


def reason(error: Exception) -> str:
    """What a task that failed says: its first line, since behind it stand the host's details."""
    return next(iter(str(error).splitlines()), "")[:500] or "no reason given"


def call(
    context: Context,
    name: str,
    step: dict[str, Any],
    policy: RetryPolicy = STEP,
    wake: Task | None = None,
) -> Steps:
    """Calls an activity until it succeeds, cannot succeed, or the policy is used up; the last Outcome.

    The step is told how often it was `tried` before. `wake` cuts a wait short.
    """
    tried = 0
    while True:
        outcome = yield from once(context, name, {**step, "tried": tried})
        tried += 1
        error = outcome.get("error")
        delay = next_delay(policy, tried, f"{context.instance_id}/{name}", error) if error else None
        if delay is None:
            return outcome
        yield from pause(context, delay, wake)


def side_by_side(context: Context, activity: str, step: dict[str, Any], count: int, lanes: int) -> Steps:
    """Calls an activity with all numbers below `count`, in lanes: as many at a time and no more, each with
    its own retries. An error, if there is one, or the outcome of the first lane."""
    lanes = min(lanes, count)
    tasks = [
        context.call_sub_orchestrator(
            names.RUN_TASK_LANE,
            {
                "version": 1,
                "activity": activity,
                "step": step,
                "next": lane,
                "stride": lanes,
                "end": count,
                **trace_of(context),
            },
        )
        for lane in range(lanes)
    ]
    try:
        outcomes: list[Outcome] = yield context.task_all(tasks)
    except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions
        return step_failed(error)
    return next((outcome for outcome in outcomes if "error" in outcome), outcomes[0])


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
