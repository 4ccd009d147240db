"""Texts of failures, word for word as on the real host."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from devhost.durable.history import Event, Kind

NOT_DETERMINISTIC = "Non-Deterministic workflow detected: "
CHANGED = "Was a change made to the orchestrator code after this instance had already started running?"


def orchestrator_failed(name: str, error: str) -> str:
    return f"Orchestrator function '{name}' failed: {error}"


def orchestrator_crashed(exception_type: str, message: str, stack: str) -> str:
    """A failure the SDK did not catch: a plain function that raises, a yield of anything but a task."""
    return (
        f"One or more errors occurred. (Result: Failure\nException:"
        f" {exception_type}: {message}\nStack: {stack})"
    )


def unknown_orchestrator(name: str, known: Iterable[str]) -> str:
    listed = ", ".join(f"'{k}'" for k in known)
    return (
        f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator function. "
        f"Additional info: The following are the known orchestrator functions: {listed}."
    )


def activity_reason(name: str, exception_type: str, message: str) -> str:
    """Two spaces before the exception's name: an empty word of the host's own template."""
    return f"Activity function '{name}' failed:  {exception_type}: {message}"


def activity_details(exception_type: str, message: str, stack: str) -> str:
    """The serialised .NET exception that travels next to the reason. Same keys as recorded; the stacks
    hold Python frames only.
    """
    remote = f"{exception_type}: {message}"
    return json.dumps(
        {
            "$type": "System.Exception, System.Private.CoreLib",
            "ClassName": "System.Exception",
            "Message": f" {remote}",
            "Data": None,
            "InnerException": {
                "$type": "Microsoft.Azure.WebJobs.Script.Workers.Rpc.RpcException,"
                " Microsoft.Azure.WebJobs.Script",
                "IsUserException": False,
                "RemoteStackTrace": stack,
                "RemoteMessage": remote,
                "RemoteTypeName": None,
                "Message": f"Result: Failure\nException: {remote}\nStack: {stack}",
                "Data": {"$type": "System.Collections.ListDictionaryInternal, System.Private.CoreLib"},
                "InnerException": None,
                "HelpLink": None,
                "Source": "System.Private.CoreLib",
                "HResult": -2146233088,
                "StackTrace": "   at devhost",
            },
            "HelpURL": None,
            "StackTraceString": None,
            "RemoteStackTraceString": None,
            "RemoteStackIndex": 0,
            "ExceptionMethod": None,
            "HResult": -2146233088,
            "Source": None,
            "WatsonBuckets": None,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def worker_died_reason(name: str, exited: str) -> str:
    """A worker process that was killed under an activity: no exception's name, and one space."""
    return f"Activity function '{name}' failed: {exited}"


def worker_died_details(exited: str) -> str:
    """The serialised .NET exception of a worker process that was killed. Same keys as recorded."""
    nothing = {"Data": None, "InnerException": None, "HelpURL": None, "StackTraceString": None}
    inner = {
        "$type": "System.Exception, System.Private.CoreLib",
        "ClassName": "System.Exception",
        "Message": "",
        **nothing,
        "RemoteStackTraceString": None,
        "RemoteStackIndex": 0,
        "ExceptionMethod": None,
        "HResult": -2146233088,
        "Source": None,
        "WatsonBuckets": None,
    }
    return json.dumps(
        {
            "$type": "Microsoft.Azure.WebJobs.Script.Workers.WorkerProcessExitException,"
            " Microsoft.Azure.WebJobs.Script",
            "Message": exited,
            "Data": {"$type": "System.Collections.ListDictionaryInternal, System.Private.CoreLib"},
            "InnerException": inner,
            "HelpLink": None,
            "Source": "System.Private.CoreLib",
            "HResult": -2146233088,
            "StackTrace": "   at devhost",
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def worker_died_in_orchestrator(exited: str) -> str:
    """Text behind `Orchestrator function … failed:`. Not recorded: TaskOrchestrationShim of the extension
    fails with the message of .NET's AggregateException, as for other failures without a state.
    """
    return f"One or more errors occurred. ({exited})"


def child_details(error: str) -> str:
    return f"Message: {error}, StackTrace:    at devhost"


def custom_status_too_large(kilobytes: int) -> str:
    return (
        "The UTF-16 size of the JSON-serialized payload must not exceed 16 KB."
        f" The current payload size is {kilobytes} KB."
    )


def invalid_json(text: str) -> str:
    """Message of Newtonsoft.Json for invalid JSON; word for word for the commonest mistakes."""
    body = text.lstrip()
    if not body:
        return "Error reading JToken from JsonReader. Path '', line 0, position 0."
    if re.fullmatch(r"\{\s*[A-Za-z_$][\w$]*", body):
        return (
            "Unexpected end while parsing unquoted property name."
            f" Path '', line {text.count(chr(10)) + 1}, position {len(text) - text.rfind(chr(10)) - 1}."
        )
    if body[0] not in "{[\"'-0123456789tfnuNI/":
        return (
            f"Unexpected character encountered while parsing value: {body[0]}. Path '', line 0, position 0."
        )
    return f"Unexpected end of content while loading JSON. Path '', line 1, position {len(text)}."


def already_exists(status: str) -> str:
    return f"An Orchestration instance with the status {status} already exists."


def not_deterministic(detail: str) -> str:
    return f"{NOT_DETERMINISTIC}{detail} {CHANGED}"


def no_longer_scheduled(event: Event) -> str:
    """Work in the history that a replay does not schedule (TaskOrchestrationContext of DurableTask.Core; that
    of an activity is recorded).
    """
    number, version = event["EventId"], event.get("Version") or ""
    ending = "but the current replay execution hasn't (yet?) scheduled this task."
    before = "A previous execution of this orchestration scheduled"
    match event["EventType"]:
        case Kind.TASK_SCHEDULED:
            what = (
                f"an activity task with sequence ID {number} and name '{event['Name']}'"
                f" (version '{version}'),"
            )
        case Kind.SUB_CREATED:
            what = (
                f"a sub-orchestration task with sequence ID {number} and name '{event['Name']}'"
                f" (version '{version}', instance ID '{event['InstanceId']}'),"
            )
        case _:
            what = f"a timer task with sequence number {number}"
    return not_deterministic(f"{before} {what} {ending}")
