"""Activities that turn collected files into committed Parquet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from durable_app.blueprint import Blueprint
from durable_app.sdk import Client
from durable_app.starting import wake
from mobexport import durable_names as names
from mobexport.pipeline.messages import BeginProcessing, CommitExport, ConvertFile, ConvertPart, EndStep

if TYPE_CHECKING:
    from mobexport.services import Services

blueprint = Blueprint()


@blueprint.client_activity(BeginProcessing)
async def begin_processing(services: Services, step: BeginProcessing, client: Client) -> dict[str, Any]:
    """`{done}`, or `{done: false, files, large?}`; one small file is converted and committed at once."""
    found = await asyncio.to_thread(services.processor.begin, step.ref, step.started_by)
    if found["done"]:
        await wake(client, names.run_instance(step.ref), names.PROCESSED)
    return found


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


@blueprint.client_activity(CommitExport)
async def commit_export(services: Services, step: CommitExport, client: Client) -> dict[str, Any]:
    """`{records, rows, rejected}` of the whole export; wakes the run."""
    row = await asyncio.to_thread(services.processor.commit, step.ref, step.started_by)
    await wake(client, names.run_instance(step.ref), names.PROCESSED)
    return {name: (row.counts or {})[name] for name in ("records", "rows", "rejected")}


@blueprint.client_activity(EndStep)
async def give_up_processing(services: Services, step: EndStep, client: Client) -> dict[str, Any]:
    """`{}`: keeps why the processing failed, and wakes the run."""
    assert step.outcome.failure is not None
    await asyncio.to_thread(services.processor.give_up, step.ref, step.outcome.failure)
    await wake(client, names.run_instance(step.ref), names.PROCESSED)
    return {}
