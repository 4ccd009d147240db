"""Activities of the Export API: the steps of one export task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durable_app.blueprint import Blueprint
from mobexport.export_api.messages import FinishTask, PartStep, TaskStep
from mobexport.wire import Outcome

if TYPE_CHECKING:
    from mobexport.services import Services

blueprint = Blueprint()


@blueprint.activity(TaskStep)
def plan_export_task(services: Services, step: TaskStep) -> dict[str, Any]:
    """`{slices, buckets, lanes}` of a large task; a small one is written and ended at once: `{state}`."""
    planned = services.task_writer.plan(step.ref)
    if planned.slices and planned.spec:
        lanes = services.settings.export_lanes
        return {"slices": planned.slices, "buckets": planned.spec.buckets, "lanes": lanes}
    counts = services.task_writer.write_file(planned)
    return {"state": services.export_tasks.finish(step.ref, Outcome(counts), planned.task)}


@blueprint.activity(PartStep)
def partition_slice(services: Services, step: PartStep) -> dict[str, Any]:
    """`{slice}`."""
    return services.task_writer.partition_slice(step.ref, step.number)


@blueprint.activity(PartStep)
def write_bucket(services: Services, step: PartStep) -> dict[str, Any]:
    """`{bucket}`."""
    return services.task_writer.write_bucket(step.ref, step.number)


@blueprint.activity(TaskStep)
def commit_file(services: Services, step: TaskStep) -> dict[str, Any]:
    """The counts."""
    return services.task_writer.commit_file(step.ref)


@blueprint.activity(FinishTask)
def finish_export_task(services: Services, step: FinishTask) -> dict[str, Any]:
    """`{state}`."""
    return {"state": services.export_tasks.finish(step.ref, step.outcome)}
