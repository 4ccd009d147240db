"""Activities that create an export job and ask how it is."""

from __future__ import annotations

from typing import Any

from durable import Blueprint

blueprint = Blueprint()


@blueprint.activity
def create_export_job(step: dict[str, Any]) -> dict[str, Any]:
    """`{exportId, attempt, totalDeadline}` → `{phase, began, collect}`."""
    from mobexport import app

    return app.collector(step["exportId"]).create_job(
        step["exportId"], step["attempt"], step["totalDeadline"]
    )


@blueprint.activity
def check_export_job(step: dict[str, Any]) -> dict[str, Any]:
    """`{exportId, attempt, policy, progress}` → `{state, error, retryAfter}`."""
    from mobexport import app
    from mobexport.pipeline.jobs.poll_policy import PollPolicy, PollProgress

    policy, progress = PollPolicy(**step["policy"]), PollProgress.from_json(step["progress"])
    return app.collector(step["exportId"]).check_job(step["exportId"], step["attempt"], policy, progress)
