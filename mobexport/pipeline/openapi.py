"""The pipeline's API as OpenAPI 3.1, made from the tables and limits that check its calls.

Source: the OpenAPI Specification 3.1.0. Bodies are read field by field (`request_parsing`, `batch_parsing`):
a test holds their fields against these, and schemathesis what the running app accepts and answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mobexport import export_types
from mobexport.config import APP_NAME
from mobexport.contract import MAX_CAMPAIGNS, MAX_CONTAINER_URL
from mobexport.day_map import MAX_MAP_DAYS
from mobexport.pipeline.notify import undelivered
from mobexport.pipeline.registry.states import TABLE, State
from mobexport.pipeline.requests.batch_parsing import MAX_PARALLEL
from mobexport.pipeline.requests.export_list import DEFAULT_LIMIT, MAX_LIMIT, OPTIONS
from mobexport.pipeline.requests.reject_samples import SAMPLES
from mobexport.pipeline.requests.request_parsing import MAX_DAYS, by_campaign, campaign_types
from mobexport.records.formats import ExportFormat

_SCHEMAS: Final = "#/components/schemas/"
_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean"}
_INSTANT: Final = {"type": "string", "format": "date-time"}
_DAY: Final = {"type": "string", "format": "date"}
_COUNTS: Final = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}
_LIMIT: Final = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
_CONTINUATION: Final = {"type": "string", "description": "From an earlier answer's `links.next`"}
_BATCH_STATES: Final = ("Running", "Succeeded", "PartiallySucceeded", "Failed")
_ID: Final = {"type": "string", "minLength": 1, "maxLength": 150, "pattern": "^[a-z0-9-]+$"}
_NOTIFICATION: Final = {
    "type": "string",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*(?:~[a-z-]+)?$",
    "maxLength": 100,
    "description": "Its target, of a finding also that: `ops`, `ops~schema-drift`",
}
_ERRORS: Final = {
    "400": "The request is wrong; `problems` names every field",
    "401": "No function key, or a call that is not signed where REQUEST_SIGNING_SECRET is set",
    "404": "There is none of that id",
    "409": "It is in a state that forbids this, or the signed call came before",
    "503": "The service cannot answer now, or this app does not run the pipeline; see Retry-After",
}


def describe() -> dict[str, Any]:
    """The document, as JSON values."""
    id_of_export, id_of_batch = _path_id("exportId"), _path_id("batchId")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pipeline",
            "version": "1",
            "description": "Requests exports, shows them and cancels them.",
        },
        "servers": [{"url": "/api"}],
        "security": [{"functionKey": []}],
        "paths": {
            "/exports": {
                "get": _operation(
                    "list_exports", "Exports, newest first", "200 400", "exportList", query=_list_options()
                ),
                "post": _operation(
                    "request_export",
                    "Requests an export: 202 begins an attempt, 200 shows the one there is",
                    "200 202 400 409",
                    "export",
                    body="exportRequest",
                ),
            },
            "/exports/{exportId}": {
                "parameters": id_of_export,
                "get": _operation("get_export", "One export", "200 404", "export"),
            },
            "/exports/{exportId}/cancel": {
                "parameters": id_of_export,
                "post": _operation(
                    "cancel_export", "Cancels an export that is not collected yet", "202 404 409", "export"
                ),
            },
            "/exports/{exportId}/rejects": {
                "parameters": id_of_export,
                "get": _operation(
                    "get_rejects",
                    "The first rejects of either half, with their reasons",
                    "200 404",
                    "rejectSamples",
                ),
            },
            "/batches": {
                "post": _operation(
                    "request_batch",
                    "Requests types times windows: 202 begins the batch, 200 shows the one there is",
                    "200 202 400 409",
                    "batch",
                    body="batchRequest",
                ),
            },
            "/batches/{batchId}": {
                "parameters": id_of_batch,
                "get": _operation("get_batch", "One batch", "200 404", "batch"),
            },
            "/schedules": {
                "get": _operation("list_schedules", "Schedules: last day, next run", "200", "scheduleList"),
            },
            "/schedules/{app}/run": {
                "parameters": [_parameter("app", "path", _app())],
                "post": _operation(
                    "run_schedule",
                    "Requests what the schedule would request now: 202 begins the batch, 200 shows it",
                    "200 202 404",
                    "batch",
                ),
            },
            "/apps/{app}/days": {
                "parameters": [_parameter("app", "path", _app())],
                "get": _operation(
                    "list_days",
                    "Raw files and exported rows of each type and day",
                    "200 400 404",
                    "dayMap",
                    query=[
                        _parameter("last", "query", {"anyOf": [_DAY, {"enum": [""]}]}),
                        _parameter(
                            "days", "query", {"type": "integer", "minimum": 1, "maximum": MAX_MAP_DAYS}
                        ),
                    ],
                ),
            },
            "/targets/{target}/test": {
                "parameters": [_parameter("target", "path", {"type": "string", "minLength": 1})],
                "post": _operation(
                    "test_target", "Sends a test event to a notification target", "200 404 409", "targetTest"
                ),
            },
            "/notifications": {
                "get": _operation(
                    "list_notifications",
                    "Notifications that failed, or are pending, by export",
                    "200 400",
                    "notificationList",
                    query=_notification_options(),
                ),
            },
            "/exports/{exportId}/notifications/{notification}/resend": {
                "parameters": [*id_of_export, _parameter("notification", "path", _NOTIFICATION)],
                "post": _operation(
                    "resend_notification",
                    "Sends a failed notification again: the same event, with the same id",
                    "202 404 409",
                    "notification",
                ),
            },
            "/health": {"get": _health()},
            "/openapi.json": {
                "get": _open("get_openapi", "This document", "application/json", {"type": "object"})
            },
            "/docs": {"get": _open("get_api_docs", "This document, for people", "text/html", _TEXT)},
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "functionKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-functions-key",
                    "description": "Function key of the app; none on a developer's machine.",
                }
            },
        },
    }


def _operation(
    name: str,
    summary: str,
    statuses: str,
    schema: str,
    *,
    body: str = "",
    query: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": name, "summary": summary}
    if query:
        described["parameters"] = query
    if body:
        described["requestBody"] = {"required": True, "content": _json(body)}
    good = {"200": "As it is", "202": "Begun, or accepted"}
    described["responses"] = {
        status: {"description": good[status], "content": _json(schema)}
        if status in good
        else {"description": _ERRORS[status], "content": _json("problem", "application/problem+json")}
        for status in (*statuses.split(), "401", "503")
    }
    return described


def _health() -> dict[str, Any]:
    answers = {"200": "All checks pass", "503": "Some do not; their texts name what to do"}
    return {
        "operationId": "health",
        "summary": "The app's checks",
        "security": [],
        "responses": {
            status: {"description": text, "content": _json("health")} for status, text in answers.items()
        },
    }


def _open(name: str, summary: str, media: str, schema: dict[str, Any]) -> dict[str, Any]:
    answer = {"description": summary, "content": {media: {"schema": schema}}}
    return {"operationId": name, "summary": summary, "security": [], "responses": {"200": answer}}


def _json(schema: str, media: str = "application/json") -> dict[str, Any]:
    return {media: {"schema": {"$ref": _SCHEMAS + schema}}}


def _parameter(name: str, where: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": schema}


def _path_id(name: str) -> list[dict[str, Any]]:
    return [_parameter(name, "path", _ID)]


def _list_options() -> list[dict[str, Any]]:
    schemas: dict[str, dict[str, Any]] = {
        "app": _app(),
        "exportType": {"type": "string", "enum": _types()},
        "state": {
            "type": "string",
            "pattern": f"^(?:{'|'.join(State)})(?:,(?:{'|'.join(State)}))*$",
            "description": "Several with commas",
        },
        "createdFrom": _INSTANT,
        "createdTo": {**_INSTANT, "description": "Excluded"},
        "limit": _LIMIT,
        "continuation": _CONTINUATION,
    }
    return _options(schemas, OPTIONS)


def _notification_options() -> list[dict[str, Any]]:
    schemas: dict[str, dict[str, Any]] = {
        "state": {"type": "string", "enum": list(undelivered.STATES), "default": "failed"},
        "app": _app(),
        "limit": {**_LIMIT, "description": "Exports, each with all of its notifications in that state"},
        "continuation": _CONTINUATION,
    }
    return _options(schemas, undelivered.OPTIONS)


def _options(schemas: dict[str, dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    # An option without a value is none.
    texts = {name: {"anyOf": [schema, {"enum": [""]}]} for name, schema in schemas.items() if name != "limit"}
    return [_parameter(name, "query", texts.get(name, schemas[name])) for name in names]


def _types() -> list[str]:
    return [declared.name for declared in export_types.all_types()]


def _app() -> dict[str, Any]:
    return {
        "type": "string",
        "pattern": f"^{APP_NAME.pattern}$",
    }


def _choices() -> dict[str, Any]:
    """Fields that a request and a batch share; null is as good as absent."""
    return {
        "app": _or_null(_app(), "One of exports.toml; may be left out where it names one app"),
        "startDate": _or_null(_DAY, "First day, in UTC, of types with dates"),
        "endDate": _or_null(_DAY, f"Last day, included; at most {MAX_DAYS} days"),
        "notify": _or_null(
            {"type": "array", "items": _TEXT}, "Targets of exports.toml, instead of the app's"
        ),
        "rerun": {**_FLAG, "default": False, "description": "Also if it has succeeded"},
    }


def _export_request() -> dict[str, Any]:
    pushes = [one for one in export_types.all_types() if by_campaign(one)]
    kinds = sorted({kind for one in pushes for kind in campaign_types(one)})
    own = {
        "exportType": {"type": "string", "enum": _types()},
        **_choices(),
        "format": {
            "type": "string",
            "enum": list(ExportFormat),
            "default": ExportFormat.JSON,
            "description": f"{ExportFormat.CSV} needs a containerUrl",
        },
        "containerUrl": _or_null(
            {"type": "string", "maxLength": MAX_CONTAINER_URL, "writeOnly": True},
            "Deliver there: a container with a SAS that may write; a secret",
        ),
        "campaignType": _or_null({"type": "string", "enum": kinds}, "Push"),
        "campaignIds": _or_null(
            {
                "type": "array",
                "items": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
                "minItems": 1,
                "maxItems": MAX_CAMPAIGNS,
            },
            "Push: these, or a window",
        ),
        "campaignWindowStart": _or_null(_INSTANT, "Push"),
        "campaignWindowEnd": _or_null(_INSTANT, "Push; included"),
    }
    return {
        "type": "object",
        "properties": own,
        "required": ["exportType"],
        "additionalProperties": False,
        "description": "Types with dates need both, others take none; Push needs its campaigns.",
    }


def _batch_request() -> dict[str, Any]:
    own = {
        "exportTypes": _or_null(
            {"type": "array", "items": {"type": "string", "enum": _types()}, "minItems": 1}, "Default: all"
        ),
        **_choices(),
        "windowDays": {"type": "integer", "minimum": 1, "maximum": MAX_DAYS, "default": 1},
        "parallel": {"type": "integer", "minimum": 1, "maximum": MAX_PARALLEL},
    }
    return {"type": "object", "properties": own, "additionalProperties": False}


def _or_null(schema: dict[str, Any], description: str = "") -> dict[str, Any]:
    about = {"description": description} if description else {}
    return {"anyOf": [schema, {"type": "null"}], **about}


def _subject() -> dict[str, Any]:
    return {
        "app": _TEXT,
        "exportType": {"type": "string", "enum": _types()},
        "window": _or_null({"type": "array", "items": _DAY, "minItems": 2, "maxItems": 2}),
        "snapshotDay": _or_null(_DAY),
    }


def _export() -> dict[str, Any]:
    phases = sorted({rule.phase for rule in TABLE.values()})
    own = {
        "id": _ID,
        **_subject(),
        "state": {"type": "string", "enum": list(State)},
        "phase": {"type": "string", "enum": phases},
        "progress": {"type": "object"},
        "attempt": {"type": "integer", "minimum": 1},
        "cancelRequested": _FLAG,
        "jobId": _or_null(_TEXT),
        "destination": _or_null({**_TEXT, "description": "Host and container of a `containerUrl`"}),
        "files": _or_null({"type": "integer", "minimum": 0}),
        "counts": _or_null({"type": "object"}),
        "empty": _or_null(_TEXT),
        "manifest": _or_null({**_TEXT, "description": "Path in `curated`; docs/manifest.schema.json"}),
        "processingStartedBy": _or_null(_TEXT),
        "phases": {"type": "object", "additionalProperties": _INSTANT},
        "moments": {
            "type": "object",
            "additionalProperties": _INSTANT,
            "description": "When the attempt entered each state, was Converted, was Committed",
        },
        "restarts": {"type": "integer", "minimum": 0},
        "deliveries": {"type": "object", "additionalProperties": {"type": "object"}},
        "lateFiles": {"type": "array", "items": _TEXT},
        "error": _or_null({"type": "object"}),
        "notes": {"type": "array", "items": _TEXT},
        "createdAt": _INSTANT,
        "attemptBeganAt": _INSTANT,
        "updatedAt": _INSTANT,
        "endedAt": _or_null(_INSTANT),
        "links": {"type": "object", "additionalProperties": _TEXT},
    }
    return {"type": "object", "properties": own, "required": list(own)}


def _batch() -> dict[str, Any]:
    item = {
        "id": _ID,
        **_subject(),
        "attempt": _or_null({"type": "integer", "minimum": 1}),
        "state": {"type": "string", "enum": ["Waiting", "Running", *(one for one in State if one.terminal)]},
        "links": {"type": "object", "additionalProperties": _TEXT},
    }
    own = {
        "id": _ID,
        "state": {"type": "string", "enum": list(_BATCH_STATES)},
        "counts": _COUNTS,
        "parallel": {"type": "integer", "minimum": 1},
        "createdAt": _INSTANT,
        "endedAt": _or_null(_INSTANT),
        "exports": {
            "type": "array",
            "items": {"type": "object", "properties": item, "required": list(item)},
        },
        "notes": {"type": "array", "items": _TEXT},
        "links": {"type": "object", "additionalProperties": _TEXT},
    }
    return {"type": "object", "properties": own, "required": list(own)}


def _notification() -> dict[str, Any]:
    own = {
        "exportId": _ID,
        "app": _TEXT,
        "exportType": {"type": "string", "enum": _types()},
        "attempt": {"type": "integer", "minimum": 1},
        "notification": _NOTIFICATION,
        "target": {**_TEXT, "description": "Of exports.toml"},
        "event": {**_TEXT, "description": "`completed`, `failed`, or the kind of a finding"},
        "state": {"type": "string", "enum": sorted(frozenset.union(*undelivered.STATES.values()))},
        "tries": {"type": "integer", "minimum": 0},
        "resent": {"type": "integer", "minimum": 0, "description": "How often it was asked for again"},
        "lastTryAt": _or_null(_INSTANT),
        "error": _or_null({**_TEXT, "description": "Why the last try failed"}),
        "links": {"type": "object", "additionalProperties": _TEXT},
    }
    return {"type": "object", "properties": own, "required": list(own)}


def _schedule() -> dict[str, Any]:
    texts: dict[str, Any] = {"type": "array", "items": _TEXT}
    kept = {
        "app": _TEXT,
        "at": _TEXT,
        "timeZone": _TEXT,
        "types": texts,
        "lateDays": {"type": "integer"},
        "digest": _FLAG,
        "lastDay": _or_null(_TEXT, "Newest day that was asked for"),
        "dueDays": texts,
        "nextRunAt": _or_null(_TEXT, "It begins with the next tick, within five minutes"),
    }
    more = {"lastRunAt": _or_null(_TEXT), "watched": texts, "error": _TEXT}
    return {"type": "object", "properties": {**kept, **more}, "required": list(kept)}


def _reject_samples() -> dict[str, Any]:
    place = {"file": _TEXT, "line": _TEXT, "element": _TEXT, "record": _TEXT}
    reject = {**place, "rule": _TEXT, "field": _TEXT, "original": _TEXT}
    samples = {
        "type": "array",
        "maxItems": SAMPLES,
        "items": {"type": "object", "properties": reject, "required": ["rule", "original"]},
    }
    own = {"raw": samples, "export": samples}
    return {"type": "object", "properties": own, "required": list(own)}


def _day_map() -> dict[str, Any]:
    number = _or_null({"type": "integer", "minimum": 0})
    day = {
        "day": _DAY,
        "files": {**number, "description": "Raw files; null: their names tell no day"},
        "bytes": number,
        "exported": {**_FLAG, "description": "Whether the table has this day, also without rows"},
        "rows": {"type": "integer", "minimum": 0},
    }
    days = {"type": "array", "items": {"type": "object", "properties": day, "required": list(day)}}
    kind = {
        "exportType": {"type": "string", "enum": _types()},
        "kind": _TEXT,
        "historical": {**_FLAG, "description": "False: a snapshot, whose days are those of its requests"},
        "days": days,
        "error": _or_null(_TEXT),
    }
    kinds = {"type": "array", "items": {"type": "object", "properties": kind, "required": list(kind)}}
    own = {"app": _TEXT, "first": _DAY, "last": _DAY, "types": kinds}
    return {"type": "object", "properties": own, "required": list(own)}


def _schemas() -> dict[str, Any]:
    problem = {"field": _TEXT, "message": _TEXT}
    code = {"code": _TEXT, "message": _TEXT}
    return {
        "exportRequest": _export_request(),
        "batchRequest": _batch_request(),
        "export": _export(),
        "exportList": {
            "type": "object",
            "properties": {
                "exports": {"type": "array", "maxItems": MAX_LIMIT, "items": {"$ref": f"{_SCHEMAS}export"}},
                "links": {"type": "object", "properties": {"next": _TEXT}},
                "unreadable": {"type": "array", "items": _TEXT},
            },
            "required": ["exports", "links"],
        },
        "notification": _notification(),
        "notificationList": {
            "type": "object",
            "properties": {
                "notifications": {"type": "array", "items": {"$ref": f"{_SCHEMAS}notification"}},
                "links": {"type": "object", "properties": {"next": _TEXT}},
                "unreadable": {"type": "array", "items": _TEXT},
            },
            "required": ["notifications", "links"],
        },
        "batch": _batch(),
        "scheduleList": {
            "type": "object",
            "properties": {"schedules": {"type": "array", "items": _schedule()}},
            "required": ["schedules"],
        },
        "rejectSamples": _reject_samples(),
        "dayMap": _day_map(),
        "targetTest": {
            "type": "object",
            "properties": {
                "target": _TEXT,
                "eventId": _TEXT,
                "delivered": _FLAG,
                "error": _or_null({"type": "object", "properties": code, "required": list(code)}),
            },
            "required": ["target", "eventId", "delivered", "error"],
        },
        "health": {
            "type": "object",
            "properties": {
                "status": _TEXT,
                "checks": {"type": "object", "additionalProperties": _TEXT},
                "notes": {"type": "array", "items": _TEXT},
            },
            "required": ["status", "checks"],
        },
        "problem": {
            "type": "object",
            "description": "Problem details, RFC 9457",
            "properties": {
                "type": _TEXT,
                "title": _TEXT,
                "status": {"type": "integer"},
                "detail": _TEXT,
                "problems": {
                    "type": "array",
                    "items": {"type": "object", "properties": problem, "required": list(problem)},
                },
                "moreProblems": {"type": "integer"},
            },
            "required": ["type", "title", "status", "detail"],
        },
    }
