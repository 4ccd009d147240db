"""`poll_export_job`: asks an export job how it is, ever more rarely, until it ends or a deadline does."""

from __future__ import annotations

from durable import Blueprint, Context, Steps
from mobexport import durable_names as names
from mobexport.pipeline.jobs.poll_policy import PollPolicy, PollProgress, delay, observe
from orchestrators.steps import once, pause

blueprint = Blueprint()


@blueprint.orchestrator
def poll_export_job(context: Context) -> Steps:
    """Input: `{version, exportId, attempt, policy, progress, trace?}`; returns an Outcome.

    Continues as new after `polls_per_generation` polls, which keeps the history small.
    """
    given = context.get_input()
    policy = PollPolicy(**given["policy"])
    progress = PollProgress.from_json(given["progress"])
    step = {"exportId": given["exportId"], "attempt": given["attempt"]}
    cancel = context.wait_for_external_event(names.CANCEL)
    for _ in range(policy.polls_per_generation):
        asked = {**step, "policy": given["policy"], "progress": progress.to_json()}
        outcome = yield from once(context, names.CHECK_EXPORT_JOB, asked)
        now = context.current_utc_datetime
        progress, end = observe(policy, progress, outcome, now)
        if end is not None:
            return end
        error = outcome.get("error") or outcome["ok"]
        wait = delay(policy, progress, given["exportId"], error.get("retryAfter"), now)
        yield from pause(context, wait, cancel)
    # No cancel is lost here: the next generation begins with a poll, and a poll looks at the flag.
    context.continue_as_new({**given, "progress": progress.to_json()})
    return None
