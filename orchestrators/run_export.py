"""`run_export`: one attempt of an export, from the job's creation to its end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from durable import Blueprint, Context, Outcome, Steps, Task
from mobexport import durable_names as names
from mobexport.pipeline.poll_policy import PollProgress, failure
from mobexport.pipeline.states import State
from mobexport.retry_policy import MUST_HAPPEN, backoff
from orchestrators.steps import call, pause

blueprint = Blueprint()

# Seconds between looks into a landing container that is still empty: two minutes in all.
_EMPTY_LOOKS = (5, 10, 15, 30, 60)
_COPY_POLL_SECONDS = 5.0
_PROCESSING_LIMIT = timedelta(hours=6)


@blueprint.orchestrator
def run_export(context: Context) -> Steps:
    """Input: `{version, exportId, attempt, policy, graceSeconds, notify}`; returns the summary."""
    run = context.get_input()
    step = {"exportId": run["exportId"], "attempt": run["attempt"]}
    cancel = context.wait_for_external_event(names.CANCEL)
    processed = context.wait_for_external_event(names.PROCESSED)

    outcome = yield from _job(context, run, step, cancel)
    if "ok" in outcome:
        outcome = yield from _collect(context, step, cancel)
    if "ok" in outcome:
        outcome = yield from _processing(context, run, step, processed)
    finished = yield from call(context, names.FINISH_EXPORT, {**step, "outcome": outcome}, MUST_HAPPEN)
    summary = finished.get("ok") or finished
    if summary.get("state") in (State.FAILED, State.TIMED_OUT):
        yield from notify(context, step, run["notify"], "failed")
    return summary


def _job(context: Context, run: dict[str, Any], step: dict[str, Any], cancel: Task) -> Steps:
    """Creates the export job and polls it until it ends."""
    began = context.current_utc_datetime
    policy = run["policy"]
    created = yield from call(
        context, names.CREATE_EXPORT_JOB, {**step, "totalDeadline": policy["total_deadline"]}, wake=cancel
    )
    if "error" in created:
        return created
    progress = PollProgress(polls=0, errors=0, began=began, state=State.QUEUED, since=began)
    try:
        polled: Outcome = yield context.call_sub_orchestrator(
            names.POLL_EXPORT_JOB,
            {"version": 1, **step, "policy": policy, "progress": progress.to_json()},
            names.poll_instance(run["exportId"], run["attempt"]),
        )
    except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions
        return failure("PollingFailed", str(error).splitlines()[0][:500], kind="bug")
    return polled


def _collect(context: Context, step: dict[str, Any], cancel: Task) -> Steps:
    """Collects the job's files; an empty container is looked into again for two minutes."""
    looks = 0
    while True:
        accept_none = looks >= len(_EMPTY_LOOKS)
        outcome = yield from call(
            context, names.COLLECT_FILES, {**step, "acceptNone": accept_none}, wake=cancel
        )
        found = outcome.get("ok", {})
        if found.get("none"):
            yield from pause(context, _EMPTY_LOOKS[looks], cancel)
            looks += 1
        elif found.get("pending"):
            yield from pause(context, _COPY_POLL_SECONDS, cancel)
        else:
            return outcome


def _processing(context: Context, run: dict[str, Any], step: dict[str, Any], processed: Task) -> Steps:
    """Waits until the files are processed, whoever starts that.

    The blob trigger usually does; the event is its hint and the registry the truth. When no hint comes
    the run starts the same instance itself, and looks again ever more rarely.
    """
    began = context.current_utc_datetime
    grace = run["graceSeconds"]
    for number in range(10**6):
        yield from pause(context, backoff(grace, 600, number, context.instance_id), processed)
        outcome = yield from call(context, names.ENSURE_PROCESSING_STARTED, {**step, "round": number})
        if "error" in outcome or outcome["ok"]["done"]:
            return outcome
        if context.current_utc_datetime - began > _PROCESSING_LIMIT:
            break
    return failure("TimedOut", f"processing did not end within {_PROCESSING_LIMIT}", kind="deadline")


def notify(context: Context, step: dict[str, Any], targets: list[str], event: str) -> Steps:
    """Delivers one event to every target, side by side; a dead one holds up only itself."""
    deliveries = [
        context.call_sub_orchestrator(
            names.DELIVER_NOTIFICATION,
            {"version": 1, **step, "event": event, "target": target},
            names.notify_instance(step["exportId"], step["attempt"], event, target),
        )
        for target in targets
    ]
    if deliveries:
        yield context.task_all(deliveries)
