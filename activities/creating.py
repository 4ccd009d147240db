"""Create export jobs and check on them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from durable_app.blueprint import Blueprint
from mobexport.pipeline.jobs.poll_policy import PollProgress
from mobexport.pipeline.messages import CheckJob, CreateJob

if TYPE_CHECKING:
    from mobexport.services import Services

blueprint = Blueprint()


@blueprint.activity(CreateJob)
def create_export_job(services: Services, step: CreateJob) -> dict[str, Any]:
    """`{phase, collect}`."""
    return services.jobs.create(step.ref, step.total_deadline, repeated=step.tried > 0)


@blueprint.activity(CheckJob)
def check_export_job(services: Services, step: CheckJob) -> dict[str, Any]:
    """`{progress, end?, wait, collected?}`: the files of a job that succeeded are collected at once.

    What keeps them from being collected is left to the step that does nothing else.
    """
    from mobexport.storage import known_error

    progress, now = PollProgress.from_json(step.progress), datetime.fromisoformat(step.now)
    decision, row = services.jobs.check(step.ref, step.policy, progress, now)
    found = decision.to_json()
    if row is not None:
        try:
            found["collected"] = services.collector.collect(step.ref, accept_none=False, row=row)
        except Exception as error:
            if known_error(error) is None:
                raise
    return found
