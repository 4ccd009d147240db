"""`poll_export_job`: polls an export job, ever more rarely, until it ends or a deadline passes."""

from __future__ import annotations

from dataclasses import replace

from durable_app.blueprint import Blueprint
from durable_app.calls import call, pause
from durable_app.sdk import Context, Steps
from mobexport import durable_names as names
from mobexport.pipeline.messages import CheckJob, PollExportJob
from mobexport.retry_policy import RetryPolicy
from mobexport.wire import Outcome

blueprint = Blueprint()


@blueprint.orchestrator(PollExportJob)
def poll_export_job(context: Context, given: PollExportJob) -> Steps:
    """Returns an Outcome. The activity polls and decides; this orchestrator only waits.

    Continues as new after `polls_per_generation` polls, which keeps the history small.
    """
    policy, progress = given.policy, given.progress
    # For a poll that raised, as when its worker dies; the poll itself counts other errors.
    retries = RetryPolicy(policy.first, policy.most, policy.max_errors)
    cancel = context.wait_for_external_event(names.CANCEL)
    for _ in range(policy.polls_per_generation):
        step = CheckJob(
            export_id=given.export_id,
            attempt=given.attempt,
            policy=policy,
            progress=progress,
            now=context.current_utc_datetime.isoformat(),
        )
        polled: Outcome = yield from call(context, names.CHECK_EXPORT_JOB, step, retries, cancel)
        if polled.failure:
            return polled
        if end := polled.value.get("end"):
            return Outcome.from_json(end)
        progress = polled.value["progress"]
        yield from pause(context, polled.value["wait"], cancel)
    # No cancel is lost here: the next generation begins with a poll, and a poll looks at the flag.
    context.continue_as_new(replace(given, progress=progress).to_json())
    return None
