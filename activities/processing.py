"""Activities that turn collected files into committed Parquet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from durable_app.blueprint import Blueprint
from durable_app.sdk import Client
from durable_app.starting import wake
from mobexport import durable_names as names
from mobexport.pipeline.messages import AttemptStep, CommitExport, ConvertFile, ConvertPart, EndStep

if TYPE_CHECKING:
    from mobexport.services import Services

blueprint = Blueprint()


@blueprint.activity(AttemptStep)
def begin_processing(services: Services, step: AttemptStep) -> dict[str, Any]:
    """`{done}` or `{done: false, files, large?}`."""
    return services.processor.begin(step.ref)


@blueprint.activity(ConvertFile)
def convert_file(services: Services, step: ConvertFile) -> dict[str, Any]:
    """`{records, rows, rejected}`."""
    return services.processor.convert(step.ref, step.index)


@blueprint.activity(ConvertFile)
def find_parts(services: Services, step: ConvertFile) -> dict[str, Any]:
    """`{parts, lanes}`; one part: the file is converted whole."""
    return services.processor.find_parts(step.ref, step.index)


@blueprint.activity(ConvertPart)
def convert_part(services: Services, step: ConvertPart) -> dict[str, Any]:
    """`{records, rows, rejected}` of that part."""
    return services.processor.convert_part(step.ref, step.index, step.number)


@blueprint.activity(CommitExport)
def commit_export(services: Services, step: CommitExport) -> dict[str, Any]:
    """`{records, rows, rejected}` of the whole export."""
    return services.processor.commit(step.ref, step.started_by)


@blueprint.client_activity(EndStep)
async def announce_processed(services: Services, step: EndStep, client: Client) -> dict[str, Any]:
    """`{}`: keeps a failure (a commit has kept its own result), and wakes the run."""
    if failure := step.outcome.failure:
        await asyncio.to_thread(services.processor.give_up, step.ref, failure)
    await wake(client, names.run_instance(step.ref), names.PROCESSED)
    return {}
