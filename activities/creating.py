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
    return services.jobs.create(step.ref, step.total_deadline)


@blueprint.activity(CheckJob)
def check_export_job(services: Services, step: CheckJob) -> dict[str, Any]:
    """`{progress, end?, wait}`."""
    progress, now = PollProgress.from_json(step.progress), datetime.fromisoformat(step.now)
    return services.jobs.check(step.ref, step.policy, progress, now)
