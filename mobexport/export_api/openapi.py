"""The Export API's description as OpenAPI 3.1, made from the declarations and the contract's models.

Source: the OpenAPI Specification 3.1.0. Bodies and options come from the models that check them, so that
neither can change without the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mobexport import export_types
from mobexport.contract import (
    API_VERSION,
    DEFAULT_TOP,
    MAX_TOP,
    ORDER_FIELDS,
    PARAMETERS,
    ExportTaskResult,
    TaskState,
)
from mobexport.export_types import ExportType, Route
from mobexport.records.formats import ExportFormat

BASE_PATH: Final = (
    "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroup}/providers/Microsoft.MobileEngagement"
    "/appcollections/{appCollection}/apps/{app}/devices/exportTasks"
)
_SCHEMAS: Final = "#/components/schemas/"
_ERRORS: Final[Mapping[str, str]] = {
    "400": "The request is wrong; the message names every problem",
    "401": "No bearer token, or one that is wrong",
    "403": "The caller may not export this app",
    "404": "No such app, task or route",
    "429": "Too many tasks of this app have not ended; see Retry-After",
    "503": "The service cannot answer now, or is not set up; see Retry-After",
}
# Statuses of each operation.
_LIST, _GET, _CREATE = ("400 401 403 404 503", "400 401 403 404 503", "400 401 403 404 429 503")


def describe() -> dict[str, Any]:
    """The whole document, as JSON values."""
    paths: dict[str, Any] = {
        BASE_PATH: {"parameters": _path_parameters("app"), "get": _list()},
        f"{BASE_PATH}/{{taskId}}": {"parameters": _path_parameters("app", "taskId"), "get": _get()},
    }
    for declared in export_types.all_types():
        for route in declared.routes:
            paths[f"{BASE_PATH}/{route.name}"] = {
                "parameters": _path_parameters("app"),
                "post": _create(declared, route),
            }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Export API of Azure Mobile Engagement",
            "version": API_VERSION,
            "description": "Microsoft.MobileEngagement 2014-12-01, export tasks only.",
        },
        "servers": [{"url": "/api"}],
        "security": [{"entra": []}],
        "paths": paths,
        "components": {"schemas": _schemas(), "securitySchemes": _SECURITY},
    }


_SECURITY: Final = {
    "entra": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "Access token of Microsoft Entra ID, version 1.0 or 2.0.",
    }
}


def _path_parameters(*own: str) -> list[dict[str, Any]]:
    names = ("subscriptionId", "resourceGroup", "appCollection", *own)
    text = {"type": "string", "minLength": 1}
    fixed = [{"name": name, "in": "path", "required": True, "schema": text} for name in names]
    version = {"type": "string", "enum": [API_VERSION]}
    return [*fixed, {"name": "api-version", "in": "query", "required": True, "schema": version}]


def _list() -> dict[str, Any]:
    orders = [f"{field}{direction}" for field in ORDER_FIELDS for direction in ("", " asc", " desc")]
    options = {
        "$skip": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "default": 0},
        "$top": {"type": "integer", "minimum": 1, "maximum": MAX_TOP, "default": DEFAULT_TOP},
        "$orderby": {"type": "string", "enum": orders, "default": "taskId asc"},
    }
    return {
        "operationId": "ExportTasks_List",
        "summary": "The app's export tasks, a page of them",
        "parameters": [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in options.items()
        ],
        "responses": {"200": _answer("A page of tasks", "exportTaskListResult"), **_errors(_LIST)},
    }


def _get() -> dict[str, Any]:
    return {
        "operationId": "ExportTasks_Get",
        "summary": "One export task",
        "responses": {"200": _answer("The task", "exportTaskResult"), **_errors(_GET)},
    }


def _create(declared: ExportType, route: Route) -> dict[str, Any]:
    accepted = _answer("The task, Queued", "exportTaskResult")
    accepted["headers"] = {"Location": {"schema": {"type": "string"}, "description": "URL of the task"}}
    return {
        "operationId": f"ExportTasks_Create_{route.name}",
        "summary": f"Creates a task that exports {declared.name} records",
        "requestBody": {"required": True, "content": _json(str(route.parameters))},
        "responses": {"202": accepted, **_errors(_CREATE)},
    }


def _errors(statuses: str) -> dict[str, Any]:
    return {status: _answer(_ERRORS[status], "error") for status in statuses.split()}


def _answer(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": _json(schema)}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _SCHEMAS + schema}}}


def _schemas() -> dict[str, Any]:
    bodies = {
        str(name): model.model_json_schema(mode="validation", ref_template=_SCHEMAS + "{model}")
        for name, model in PARAMETERS.items()
    }
    for schema in bodies.values():
        del schema["$defs"]
        schema["properties"]["exportFormat"] = {"type": "string", "enum": list(ExportFormat)}
        for field in schema["properties"].values():
            field.pop("title", None)
    task = ExportTaskResult.model_json_schema(mode="serialization", ref_template=_SCHEMAS + "{model}")
    counts = task.pop("$defs")["RecordCounts"]
    for field in counts["properties"].values():
        field.pop("title", None)
    types = [declared.name for declared in export_types.all_types()]
    task["properties"] |= {
        "state": {"type": "string", "enum": list(TaskState)},
        "dateCreated": {"type": "string", "format": "date-time"},
        "dateCompleted": {"type": "string", "format": "date-time"},
        "exportType": {"type": "string", "enum": types},
        # Absent fields are left out, not written as null.
        "description": {"type": "string"},
        "errorDetails": {"type": "string"},
        "id": {"type": "string"},
        "counts": {"$ref": _SCHEMAS + "RecordCounts"},
    }
    text = {"type": "string"}
    error = {"type": "object", "properties": {"code": text, "message": text}, "required": ["code", "message"]}
    page = {
        "type": "object",
        "properties": {
            "value": {
                "type": "array",
                "maxItems": MAX_TOP,
                "items": {"$ref": _SCHEMAS + "exportTaskResult"},
            },
            "nextLink": {"type": "string", "format": "uri"},
        },
        "required": ["value"],
    }
    return {
        **bodies,
        "exportTaskResult": task,
        "RecordCounts": counts,
        "exportTaskListResult": page,
        "error": {"type": "object", "properties": {"error": error}, "required": ["error"]},
    }
