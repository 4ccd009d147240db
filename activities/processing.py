"""Activities that turn collected files into committed Parquet."""

from __future__ import annotations

from typing import Any

from durable import Blueprint, Client, wake
from mobexport import durable_names as names

blueprint = Blueprint()


@blueprint.activity
def begin_processing(step: dict[str, Any]) -> dict[str, Any]:
    """`{exportId, attempt}` → `{done}` or `{done: false, files, large?}`."""
    from mobexport import app

    return app.processor().begin(step["exportId"], step["attempt"])


@blueprint.activity
def convert_file(step: dict[str, Any]) -> dict[str, Any]:
    """`{exportId, attempt, index}` → `{records, rows, rejected}`."""
    from mobexport import app

    return app.processor().convert(step["exportId"], step["attempt"], step["index"])


@blueprint.activity
def find_parts(step: dict[str, Any]) -> dict[str, Any]:
    """`{exportId, attempt, index}` → `{parts, lanes}`; one part: the file is converted whole."""
    from mobexport import app

    return app.processor().find_parts(step["exportId"], step["attempt"], step["index"])


@blueprint.activity
def convert_part(step: dict[str, Any]) -> dict[str, Any]:
    """`{exportId, attempt, index, number}` → `{records, rows, rejected}` of that part."""
    from mobexport import app

    return app.processor().convert_part(step["exportId"], step["attempt"], step["index"], step["number"])


@blueprint.activity
def commit_export(step: dict[str, Any]) -> dict[str, Any]:
    """`{exportId, attempt, startedBy?}` → `{records, rows, rejected}` of the whole export."""
    from mobexport import app

    return app.processor().commit(step["exportId"], step["attempt"], step.get("startedBy"))


@blueprint.client_activity
async def announce_processed(step: dict[str, Any], client: Client) -> dict[str, Any]:
    """`{exportId, attempt, outcome}` → `{}`: keeps a failure, and tells the run."""
    import asyncio

    from mobexport import app

    export_id, attempt = step["exportId"], step["attempt"]
    await asyncio.to_thread(app.keep_processed, export_id, attempt, step["outcome"])
    await wake(client, names.run_instance(export_id, attempt), names.PROCESSED)
    return {}
