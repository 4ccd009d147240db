"""The blob trigger: an export's files are complete, so process them.

It matches `_complete.json` only, since a blob trigger passes the whole blob to the worker. It is a hint:
it may come twice, late, or never.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from durable_app.blueprint import Blueprint
from durable_app.sdk import Client
from durable_app.starting import start_processing
from mobexport.blob_paths import COMPLETE_PATTERN, parse_complete_path
from mobexport.errors import Conflict, NotFound
from mobexport.telemetry.entry import function_span
from mobexport.telemetry.logs import get_logger

if TYPE_CHECKING:
    from mobexport.services import Services

blueprint = Blueprint()
_log = get_logger(__name__)

# Flex Consumption cannot poll containers, and on a developer's machine there is no Event Grid. Only the local
# hosts set this variable to Development; infra/eventgrid.bicep is the other half of the Azure side.
_IN_AZURE: Final = os.environ.get("AZURE_FUNCTIONS_ENVIRONMENT") != "Development"


@blueprint.blob_trigger(COMPLETE_PATTERN, connection="DATA_STORAGE", event_grid=_IN_AZURE)
async def exported_file(services: Services, name: str, client: Client) -> None:
    """Starts `process_export` for the attempt in the blob's path, unless that work is done."""
    ref = parse_complete_path(name)
    if ref is None:
        return
    try:
        row = await asyncio.to_thread(services.registry.attempt, ref)
    except (NotFound, Conflict) as error:
        _log.info("not processed: %s", error.message)
        return
    if row.manifest is None and row.processing_error is None and not row.state.terminal:
        ids = {"exportId": ref.export_id, "attempt": ref.attempt}
        with function_span("exported_file", ids, carried=row.trace):
            await start_processing(client, ref, "blob trigger", row.trace)
