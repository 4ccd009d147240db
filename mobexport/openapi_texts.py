"""Texts of the fields and parameters of both APIs, for people; `openapi.describe` puts them in their places.

Keys are `schema.field`, with a dot for each level below, or the field alone where it says the same
everywhere. A test holds that nothing is left without a text, and no text without its field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

TEXTS: Final[Mapping[str, str]] = {
    # Parameters.
    "api-version": "The version of the contract",
    "batchId": "Id of the batch, as its request was answered",
    "exportId": "Id of the export, as its request was answered",
    "subscriptionId": "Any; as `[source]` of exports.toml has it",
    "resourceGroup": "Any; as `[source]` of exports.toml has it",
    "appCollection": "Any; as `[source]` of exports.toml has it",
    "taskId": "Id of the task",
    "limit": "Exports on one page",
    "createdFrom": "Requested first at this moment or later",
    "createdTo": "Requested first before this moment",
    "continuation": "Next page: from `links.next` of the one before",
    "$skip": "Tasks to pass over",
    "$top": "Tasks on one page",
    "last": "Last day; without it the newest one with raw data",
    "days": "How many days, up to the last",
    "$orderby": "Order of the tasks",
    # Fields that are the same everywhere.
    "app": "The app: its folder in the raw data, its name in exports.toml",
    "exportType": "Type of the records",
    "window": "First and last day, in UTC; null: a snapshot",
    "snapshotDay": "Day of the request, in UTC, to which a snapshot belongs; null: it has a window",
    "id": "Made of the request: the same request is the same id",
    "attempt": "Number of the newest try; an attempt that ended stays as it is",
    "state": "Its present work, or how it ended",
    "links": "Addresses: `self`, and what can be done",
    "notes": "What somebody should know although nothing is wrong",
    "code": "For programs; docs/errors.md has them all",
    "message": "For people",
    # The pipeline's requests.
    "batchRequest.windowDays": "Days of each export; the last may have fewer",
    "batchRequest.parallel": "Exports that run at once; default: `parallel` of the app",
    # An export.
    "export.phase": "Group of states with one kind of work",
    "export.progress": "Of the present phase: polls and the next one, files, converted files",
    "export.cancelRequested": "A cancel was accepted; the attempt ends as Cancelled",
    "export.jobId": "The export job at the Export API; null until there is one",
    "export.destination": "Host and container of a `containerUrl`, without its SAS",
    "export.files": "Collected files; null until they are collected",
    "export.counts": "What became of each record; docs/data-layout.md explains them. Null before",
    "export.empty": "Why an export that ended Empty has no rows",
    "export.manifest": "Path in `curated`, once committed; docs/manifest.schema.json",
    "export.processingStartedBy": "`blob trigger`, or `run` if none came in time",
    "export.phases": "When the attempt entered each phase",
    "export.restarts": "Orchestrations of the attempt that the platform lost, and that were started again",
    "export.deliveries": "By target (of a finding `target~kind`): event, state, tries, time, error",
    "export.lateFiles": "Files that came after the collection; they were not processed",
    "export.error": "Why the attempt failed: `code`, `kind`, `message`",
    "export.createdAt": "First request",
    "export.attemptBeganAt": "Begin of the newest attempt",
    "export.updatedAt": "Last change",
    "export.endedAt": "End of the newest attempt; null while it runs",
    "exportList.exports": "One page of them",
    "exportList.links.next": "The next page; absent on the last",
    "exportList.unreadable": "Keys of rows of the registry that hold what no row can",
    # A batch.
    "batch.counts": "Exports by state",
    "batch.parallel": "Exports that run at once",
    "batch.createdAt": "When it was requested",
    "batch.endedAt": "End of its last export; null while one runs",
    "batch.exports": "One for each type and window, in order",
    "batch.exports.attempt": "The attempt that the batch waits for; null: not begun yet",
    "batch.exports.state": "How it ended; Waiting or Running before",
    # Schedules and targets.
    "scheduleList.schedules": "One for each app with a schedule",
    "scheduleList.schedules.at": "Time of day, in `timeZone`",
    "scheduleList.schedules.timeZone": "Decides when it runs, and which day is yesterday",
    "scheduleList.schedules.types": "Types that are exported",
    "scheduleList.schedules.lateDays": "Days up to yesterday that each run asks for",
    "scheduleList.schedules.digest": "One notification for all exports of a day",
    "scheduleList.schedules.dueDays": "Days that the next tick asks for",
    "scheduleList.schedules.lastRunAt": "When it last asked for a day",
    "scheduleList.schedules.watched": "Ids of its batches that have not ended for good",
    "scheduleList.schedules.error": "Why the next run is not known",
    "dayMap.first": "First day, in UTC",
    "dayMap.types": "One for each export type",
    "rejectSamples.raw": "Of the raw data, where this app's own Export API read them",
    "rejectSamples.export": "Of the export file",
    "file": "File of the record",
    "line": "Its line, from 1",
    "element": "Its element of the array, from 1",
    "record": "Its place in the element, from 1",
    "rule": "The rule that it breaks",
    "field": "The field at fault",
    "original": "The record as it stood there, cut",
    "dayMap.types.kind": "Folder of the raw data",
    "dayMap.types.days": "One for each day, oldest first",
    "dayMap.types.days.day": "Day, in UTC",
    "dayMap.types.days.bytes": "Of the raw files; null as `files`",
    "dayMap.types.days.rows": "Rows of the table",
    "dayMap.types.error": "Why its raw data cannot be looked at",
    "targetTest.target": "Name of the target",
    "targetTest.eventId": "`id` of the CloudEvent that was sent",
    "targetTest.delivered": "Whether the target took it",
    "targetTest.error": "Why not; null if it did",
    "target": "Name of a target of exports.toml",
    "notificationList.notifications": "One page of them, by export",
    "notificationList.links.next": "The next page; absent on the last",
    "notificationList.unreadable": "Keys of rows of the registry that hold what no row can",
    "notification.tries": "How often it was sent",
    "notification.lastTryAt": "When the last try ended; null before the first",
    "health.status": "`ok` or `failing`",
    "health.checks": "By name: `ok`, or what is wrong and what to do",
    # Problem details, RFC 9457.
    "problem.type": "`urn:mobexport:` and the code",
    "problem.title": "The error's code",
    "problem.status": "HTTP status",
    "problem.detail": "What is wrong, for people",
    "problem.problems": "Each problem of the request, the first 20",
    "problem.problems.field": "Field of the request",
    "problem.problems.message": "What to do",
    "problem.moreProblems": "How many more there are",
    # The Export API.
    "containerUrl": "A container with a SAS that may write; a secret",
    "exportFormat": "Format of the file",
    "description": "Any text; comes back as it went in",
    "startDate": "First day, in UTC",
    "endDate": "Last day, included",
    "campaignType": "Kind of the campaigns",
    "campaignIds": "These campaigns",
    "campaignWindowStart": "Pushes from this moment on",
    "campaignWindowEnd": "Up to and with this one",
    "exportTaskResult.id": "Number of the task; ascends with the time of creation",
    "exportTaskResult.state": "Queued, Started, then Succeeded or Failed",
    "exportTaskResult.dateCreated": "When it was created",
    "exportTaskResult.dateCompleted": "When it ended; absent before",
    "exportTaskResult.errorDetails": "Why it failed, or what it left out",
    "exportTaskResult.counts": "What became of each raw record; of this server, beyond the contract",
    "RecordCounts.read": "Raw records that were read; the five below add up to it",
    "RecordCounts.rejected": "Could not be used",
    "RecordCounts.outside": "Not of the days or campaigns asked for",
    "RecordCounts.superseded": "Merged into another record",
    "RecordCounts.removed": "Of a snapshot: taken away by a newer record",
    "RecordCounts.exported": "In the file",
    "RecordCounts.files": "Raw files that were read",
    "RecordCounts.ignoredFiles": "Files beside them that are no raw files by their names",
    "RecordCounts.daysRead": "First and last day of the folders that were looked into; absent: all were",
    "RecordCounts.lateFiled": "Records read that were filed further from their day than that",
    "RecordCounts.rules": "Rejects by rule, or rule and field",
    "RecordCounts.rejects": "Container and path of the rejects",
    "RecordCounts.empty": "Why nothing was exported",
    "exportTaskListResult.value": "One page of tasks",
    "exportTaskListResult.nextLink": "The next page; absent on the last",
    "error.error": "What is wrong",
}


def text_of(place: str) -> str | None:
    """The text of `schema.field…`: its own, else that of its last name."""
    return TEXTS.get(place) or TEXTS.get(place.rpartition(".")[2])


def explained(place: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with a description beside each field, below `place`; those that are there stay."""
    told = dict(schema)
    if "properties" in schema:
        told["properties"] = {
            name: _described(f"{place}.{name}", explained(f"{place}.{name}", one))
            for name, one in schema["properties"].items()
        }
    if isinstance(schema.get("items"), Mapping):
        told["items"] = explained(place, schema["items"])
    if "anyOf" in schema:
        told["anyOf"] = [explained(place, one) for one in schema["anyOf"]]
    return told


def explained_parameters(item: Mapping[str, Any]) -> dict[str, Any]:
    """A path or an operation with a description beside each of its parameters."""
    if "parameters" not in item:
        return dict(item)
    return {**item, "parameters": [_described(one["name"], one) for one in item["parameters"]]}


def _described(place: str, schema: dict[str, Any]) -> dict[str, Any]:
    text = None if _is_described(schema) else text_of(place)
    return {**schema, "description": text} if text else schema


def _is_described(schema: Mapping[str, Any]) -> bool:
    inner = [*schema.get("anyOf", ()), *([schema["schema"]] if "schema" in schema else [])]
    return "description" in schema or any(_is_described(one) for one in inner)
