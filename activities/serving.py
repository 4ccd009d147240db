"""Activities of the Export API: the steps of one export task."""

from __future__ import annotations

from typing import Any

from durable import Blueprint

blueprint = Blueprint()


@blueprint.activity
def plan_export_task(step: dict[str, Any]) -> dict[str, Any]:
    """`{app, taskId}` → `{files, bytes, slices, buckets, lanes}`."""
    from mobexport import app

    return app.export_tasks().plan(step["app"], step["taskId"])


@blueprint.activity
def write_file(step: dict[str, Any]) -> dict[str, Any]:
    """`{app, taskId}` → the counts."""
    from mobexport import app

    return app.export_tasks().write(step["app"], step["taskId"])


@blueprint.activity
def partition_slice(step: dict[str, Any]) -> dict[str, Any]:
    """`{app, taskId, number}` → `{slice}`."""
    from mobexport import app

    return app.export_tasks().partition(step["app"], step["taskId"], step["number"])


@blueprint.activity
def write_bucket(step: dict[str, Any]) -> dict[str, Any]:
    """`{app, taskId, number}` → `{bucket}`."""
    from mobexport import app

    return app.export_tasks().write_bucket(step["app"], step["taskId"], step["number"])


@blueprint.activity
def commit_file(step: dict[str, Any]) -> dict[str, Any]:
    """`{app, taskId}` → the counts."""
    from mobexport import app

    return app.export_tasks().commit(step["app"], step["taskId"])


@blueprint.activity
def finish_export_task(step: dict[str, Any]) -> dict[str, Any]:
    """`{app, taskId, outcome}` → `{state}`."""
    from mobexport import app

    return {"state": app.export_tasks().finish(step["app"], step["taskId"], step["outcome"])}
