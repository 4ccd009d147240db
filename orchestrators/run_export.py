"""`run_export`: one attempt of an export, from the job's creation to its end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from durable import Blueprint, Context, Outcome, Steps, Task
from mobexport import durable_names as names
from mobexport.pipeline.jobs.poll_policy import PollProgress, failure
from mobexport.pipeline.registry.states import State
from mobexport.retry_policy import MUST_HAPPEN, backoff
from orchestrators.steps import call, pause, reason, trace_of

blueprint = Blueprint()

# Seconds between looks into a landing container that is still empty: two minutes in all.
_EMPTY_LOOKS = (5, 10, 15, 30, 60)
_COPY_POLL_SECONDS = 5.0
_PROCESSING_LIMIT = timedelta(hours=6)


@blueprint.orchestrator
def run_export(context: Context) -> Steps:
    """Input: `{version, exportId, attempt, policy, graceSeconds, trace?}`; returns the summary.

    A run that was lost can be started again: its first step says in which phase it goes on.
    """
    run = context.get_input()
    step = {"exportId": run["exportId"], "attempt": run["attempt"]}
    cancel = context.wait_for_external_event(names.CANCEL)
    processed = context.wait_for_external_event(names.PROCESSED)
    deadline = run["policy"]["total_deadline"]
    created = yield from call(
        context, names.CREATE_EXPORT_JOB, {**step, "totalDeadline": deadline}, wake=cancel
    )
    outcome: Outcome = created
    if "ok" in created:
        outcome = yield from _from_phase(context, run, step, created["ok"], cancel, processed)
    finished = yield from call(context, names.FINISH_EXPORT, {**step, "outcome": outcome}, MUST_HAPPEN)
    return finished.get("ok") or finished


def _from_phase(
    context: Context,
    run: dict[str, Any],
    step: dict[str, Any],
    job: dict[str, Any],
    cancel: Task,
    processed: Task,
) -> Steps:
    """The phases from the one the attempt is in; the Outcome that ends it."""
    outcome: Outcome = {"ok": {}}
    if job["phase"] == "poll":
        outcome = yield from _poll(context, run, step, job["began"])
    if "ok" in outcome and job["collect"]:
        outcome = yield from _collect(context, step, cancel)
    if "ok" in outcome and job["collect"]:
        outcome = yield from _processing(context, run, step, processed)
    return outcome


def _poll(context: Context, run: dict[str, Any], step: dict[str, Any], began: str) -> Steps:
    """Polls the export job until it ends."""
    now = context.current_utc_datetime
    progress = PollProgress(
        polls=0, errors=0, began=datetime.fromisoformat(began), state=State.QUEUED, since=now
    )
    try:
        polled: Outcome = yield context.call_sub_orchestrator(
            names.POLL_EXPORT_JOB,
            {
                "version": 1,
                **step,
                "policy": run["policy"],
                "progress": progress.to_json(),
                **trace_of(context),
            },
            names.poll_instance(run["exportId"], run["attempt"]),
        )
    except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions
        return failure("PollingFailed", reason(error), kind="bug")
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
