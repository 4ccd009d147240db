"""`run_export`: one attempt of an export, from the job's creation to its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from durable_app.blueprint import Blueprint
from durable_app.calls import call, pause
from durable_app.sdk import Context, Steps, Task
from mobexport import durable_names as names
from mobexport.pipeline.jobs.poll_policy import PollProgress
from mobexport.pipeline.messages import (
    CheckJob,
    CollectFiles,
    CreateJob,
    EndStep,
    EnsureProcessing,
    RunExport,
)
from mobexport.retry_policy import UNTIL_DONE, RetryPolicy, backoff
from mobexport.wire import Outcome

blueprint = Blueprint()

# Seconds between looks into a landing container that is still empty: two minutes in all.
_EMPTY_LOOKS = (5, 10, 15, 30, 60)
_COPY_POLL_SECONDS = 5.0
_PROCESSING_LIMIT = timedelta(hours=6)


@blueprint.orchestrator(RunExport)
def run_export(context: Context, run: RunExport) -> Steps:
    """Returns the summary.

    A run that was lost can be started again: its first step says in which phase it goes on. So does a run
    that continues as new after `polls_per_generation` polls, which keeps the history small.
    """
    cancel = context.wait_for_external_event(names.CANCEL)
    processed = context.wait_for_external_event(names.PROCESSED)
    create = CreateJob(export_id=run.export_id, attempt=run.attempt, total_deadline=run.policy.total_deadline)
    outcome: Outcome = yield from call(
        context, names.CREATE_EXPORT_JOB, create, wake=cancel, deadline=_deadline(run)
    )
    collects = outcome.value.get("collect", False)
    if not outcome.failure and outcome.value["phase"] == "poll":
        outcome = yield from _poll(context, run, cancel)
        if outcome.value and "end" not in outcome.value:
            # No cancel is lost here: the next generation begins with steps that look at the flag.
            context.continue_as_new(replace(run, progress=outcome.value["progress"]).to_json())
            return None
    if not outcome.failure and collects:
        outcome = yield from _collect(context, run, cancel, outcome.value.get("collected"))
    if not outcome.failure and collects:
        outcome = yield from _wait_for_processing(context, run, processed)
        if not outcome.failure:
            return outcome.value["summary"]
    end = EndStep(export_id=run.export_id, attempt=run.attempt, outcome=outcome)
    finished: Outcome = yield from call(context, names.FINISH_EXPORT, end, UNTIL_DONE)
    return finished if finished.failure else finished.value


def _poll(context: Context, run: RunExport, cancel: Task) -> Steps:
    """Polls the export job, ever more rarely, until it ends; `{progress}`: it goes on in the next generation.

    The activity polls and decides; this part only waits.
    """
    policy = run.policy
    # For a poll that raised, as when its worker dies; of other errors the poll itself decides.
    retries = RetryPolicy(policy.first, policy.most, policy.max_errors)
    progress = run.progress
    if progress is None:
        begun = PollProgress.begin(datetime.fromisoformat(run.began), context.current_utc_datetime)
        progress = begun.to_json()
    for _ in range(policy.polls_per_generation):
        step = CheckJob(
            export_id=run.export_id,
            attempt=run.attempt,
            policy=policy,
            progress=progress,
            now=context.current_utc_datetime.isoformat(),
        )
        polled: Outcome = yield from call(context, names.CHECK_EXPORT_JOB, step, retries, cancel)
        if polled.failure:
            return polled
        if "end" in polled.value:
            end = Outcome.from_json(polled.value["end"])
            return end if end.failure else Outcome(polled.value)
        progress = polled.value["progress"]
        yield from pause(context, polled.value["wait"], cancel)
    return Outcome({"progress": progress})


def _deadline(run: RunExport) -> datetime:
    return datetime.fromisoformat(run.began) + timedelta(seconds=run.policy.total_deadline)


def _collect(context: Context, run: RunExport, cancel: Task, first: Any) -> Steps:
    """Collects the job's files; an empty container is looked into again for two minutes. `first`: what the
    last poll came to with them, if anything."""
    looks = 0
    while True:
        step = CollectFiles(
            export_id=run.export_id, attempt=run.attempt, accept_none=looks >= len(_EMPTY_LOOKS)
        )
        outcome: Outcome
        if first is not None:
            outcome, first = Outcome(first), None
        else:
            outcome = yield from call(
                context, names.COLLECT_FILES, step, wake=cancel, deadline=_deadline(run)
            )
        if outcome.value.get("none"):
            yield from pause(context, _EMPTY_LOOKS[looks], cancel)
            looks += 1
        elif outcome.value.get("pending"):
            yield from pause(context, _COPY_POLL_SECONDS, cancel)
        else:
            return outcome


def _wait_for_processing(context: Context, run: RunExport, processed: Task) -> Steps:
    """Waits until the files are processed.

    Usually the blob trigger starts the processing. The event is a hint, the registry the truth. Without a
    hint the run starts the same instance itself, and looks into the registry ever more rarely. The look that
    finds the attempt processed ends it as well.
    """
    began = context.current_utc_datetime
    for number in range(10**6):
        seconds = backoff(run.grace_seconds, 600, number, context.instance_id)
        yield from pause(context, seconds, processed)
        step = EnsureProcessing(export_id=run.export_id, attempt=run.attempt, round=number)
        outcome: Outcome = yield from call(context, names.ENSURE_PROCESSING_STARTED, step)
        if outcome.failure or "summary" in outcome.value:
            return outcome
        if context.current_utc_datetime - began > _PROCESSING_LIMIT:
            break
    return Outcome.failed("TimedOut", f"processing did not end within {_PROCESSING_LIMIT}", kind="deadline")
