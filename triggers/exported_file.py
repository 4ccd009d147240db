"""The blob trigger: an export's files are complete, so process them.

It matches `_complete.json` only, since a blob trigger hands the whole blob to the worker, and it is a
hint: it may come twice, late, or never.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

import azure.functions as func

from activities.collecting import processing_input
from durable import Blueprint, start_once
from mobexport import durable_names as names
from mobexport.telemetry.entry import entered
from mobexport.telemetry.logs import get_logger

blueprint = Blueprint()
_log = get_logger(__name__)

# Container and file name stand in mobexport.storage and mobexport.pipeline.collect.collector too, whose
# imports cold start cannot afford; a test compares them.
PATH: Final = "exports/{app}/{type}/{exportId}/{attempt}/_complete.json"

# Flex Consumption cannot poll containers, and on a developer's machine there is no Event Grid. Only the local
# hosts set this variable to Development; infra/eventgrid.bicep is the other half of the Azure side.
_IN_AZURE: Final = os.environ.get("AZURE_FUNCTIONS_ENVIRONMENT") != "Development"


@blueprint.blob_trigger(PATH, connection="DATA_STORAGE", event_grid=_IN_AZURE)
@blueprint.with_client
async def exported_file(blob: func.InputStream, client: Any) -> None:
    """Starts `process_export` for the attempt in the blob's path, unless that work is done."""
    from mobexport import app
    from mobexport.errors import Conflict, NotFound
    from mobexport.pipeline.collect.collector import parse_complete_name

    found = parse_complete_name(blob.name or "")
    if found is None:
        return
    export_id, attempt = found
    try:
        row = await asyncio.to_thread(app.registry().attempt, export_id, attempt)
    except (NotFound, Conflict) as error:
        _log.info("not processed: %s", error.message)
        return
    if row.manifest is None and row.processing_error is None and not row.state.terminal:
        instance = names.process_instance(export_id, attempt)
        payload = processing_input(export_id, attempt, "blob trigger", row.trace)
        with entered("exported_file", payload, carried=row.trace):
            await start_once(client, names.PROCESS_EXPORT, instance, payload)
