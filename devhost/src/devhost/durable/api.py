"""Durable's HTTP API, the same at the public address and at the SDK's own (RPC) one.

Answers are those of the recorded host; independent of the HTTP server.
"""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus, unquote, urlencode

from devhost.durable import texts
from devhost.durable.api_messages import ApiRequest, ApiResponse, compact, json_answer, problem
from devhost.durable.engine import (
    AlreadyExistsError,
    EndedError,
    Engine,
    NotFoundError,
    WrongStateError,
)
from devhost.durable.history import api_history, parse_or_text
from devhost.durable.model import COMPLETED, TERMINAL, Instance
from devhost.timestamps import parse_stamp, whole_seconds

PAGE = 100
_CONNECTIONS = frozenset({"", "Storage", "AzureWebJobsStorage"})
_INVALID = "System.InvalidOperationException"
_LOOK_EVERY = 0.05
_STATUSES = frozenset({"Pending", "Running", "Completed", "Failed", "Terminated", "Canceled", "Suspended"})


def _invalid_json(text: str) -> ApiResponse:
    return problem(
        400, "Invalid JSON content", texts.invalid_json(text), "Newtonsoft.Json.JsonReaderException"
    )


class DurableApi:
    """Routes over one engine. A start with `timeout` blocks: never call it from an event loop."""

    def __init__(
        self, engine: Engine, hub: str, another_hub: Callable[[str], DurableApi] | None = None
    ) -> None:
        self._engine = engine
        self._hub = hub
        self._another_hub = another_hub
        one = r"instances/(?P<id>[^/]+)"
        handlers: tuple[tuple[str, str, Callable[..., ApiResponse]], ...] = (
            ("POST", r"orchestrators/(?P<name>[^/]+)(?:/(?P<id>[^/]+))?", self._start),
            ("GET", "instances", self._list),
            ("DELETE", "instances", self._purge_many),
            ("GET", one, self._status),
            ("DELETE", one, self._purge),
            ("POST", one + "/raiseEvent/(?P<name>[^/]+)", self._raise_event),
            ("POST", one + "/(?P<verb>terminate|suspend|resume)", self._control),
            ("POST", one + "/restart", self._restart),
            ("POST", one + "/rewind", _not_run("the rewind of instances")),
            ("GET", "entities(?:/.*)?", _not_run("entities")),
            ("POST", "entities/.*", _not_run("entities")),
            ("DELETE", "entities/.*", _not_run("entities")),
        )
        self._routes = [
            (method, re.compile(pattern + "/?", re.IGNORECASE), handler)
            for method, pattern, handler in handlers
        ]

    def handle(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
        origin: str,
        url: str = "",
    ) -> ApiResponse:
        """Answer one call; 404 without a body for an unknown route.

        `path` is percent-encoded; `origin` is the `http://host:port` of the request, `url` its whole address
        if that is not the public one.
        """
        names = {name.lower(): value for name, value in query.items()}
        lower = {name.lower(): value for name, value in headers.items()}
        own = _own_url(url.partition("?")[0] or f"{origin}/runtime/webhooks/durabletask/{path}", query)
        call = ApiRequest(method, path, names, lower, body, origin, own)
        if "%2f" in path.lower():
            return ApiResponse(404)
        wanted_hub = names.get("taskhub", self._hub)
        if wanted_hub.lower() != self._hub.lower():
            if self._another_hub is None or not re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,44}", wanted_hub):
                return ApiResponse(404)
            return self._another_hub(wanted_hub).handle(method, path, query, headers, body, origin, url)
        if names.get("connection", "Storage") not in _CONNECTIONS:
            setting = names["connection"]
            return problem(
                500,
                "Something went wrong while processing your request",
                f"Unable to resolve the Azure Storage connection named '{setting}'.",
                _INVALID,
            )
        for wanted, pattern, handler in self._routes:
            found = pattern.fullmatch(path)
            if found and wanted == method:
                parts = {name: unquote(text) for name, text in found.groupdict().items() if text is not None}
                return self._guarded(handler, call, parts)
        return ApiResponse(404)

    def _guarded(
        self, handler: Callable[..., ApiResponse], call: ApiRequest, parts: dict[str, str]
    ) -> ApiResponse:
        try:
            return handler(call, **parts)
        except NotFoundError:
            return ApiResponse(404)
        except EndedError:
            return ApiResponse(410)
        except AlreadyExistsError as error:
            return problem(409, str(error))
        except WrongStateError as error:
            return problem(500, "Something went wrong while processing your request", str(error), _INVALID)

    # --- start --------------------------------------------------------------------------------------------

    def _start(self, call: ApiRequest, name: str, id: str | None = None) -> ApiResponse:  # noqa: A002
        text: str | None = call.body.decode("utf-8", "replace")
        if not text or not text.strip():
            text = None
        else:
            try:
                json.loads(text)
            except ValueError:
                return _invalid_json(text)
        started = self._engine.start(name, text, id, call.query.get("version"))
        return self._started(call, started)

    def _started(self, call: ApiRequest, instance_id: str) -> ApiResponse:
        """Answer a start; with both `timeout` and `pollingInterval` (seconds) wait for the end first."""
        timeout, interval = (_seconds(call.query.get(name)) for name in ("timeout", "pollinginterval"))
        if timeout is None or interval is None:
            return self._payload(call, instance_id)
        if interval > timeout:
            return problem(
                400,
                "One or more of the arguments submitted is incorrect",
                f"Total timeout {timeout:g} should be bigger than retry timeout {interval:g}",
                "System.ArgumentException",
            )
        return self._await(call, instance_id, timeout)

    def _await(self, call: ApiRequest, instance_id: str, timeout: float) -> ApiResponse:
        """Output of the instance, or its status if it failed; 200 for both."""
        end = time.monotonic() + timeout
        while True:
            instance = self._engine.store.instance(instance_id)
            if instance is not None and instance.status == COMPLETED:
                body = (instance.output or "null").encode()
                return ApiResponse(200, body, {"Content-Type": "application/json; charset=utf-8"})
            if instance is not None and instance.is_terminal:
                return self._status(call, instance_id)
            left = end - time.monotonic()
            if left <= 0:
                return self._payload(call, instance_id)
            time.sleep(min(_LOOK_EVERY, left))

    def _payload(self, call: ApiRequest, instance_id: str) -> ApiResponse:
        base = f"{call.origin}/runtime/webhooks/durabletask/instances/{quote_plus(instance_id, safe='!*()')}"
        query = f"taskHub={self._hub}&connection=Storage&code=local"
        status = f"{base}?{query}"
        body = {
            "id": instance_id,
            "statusQueryGetUri": status,
            "sendEventPostUri": f"{base}/raiseEvent/{{eventName}}?{query}",
            "terminatePostUri": f"{base}/terminate?reason={{text}}&{query}",
            "purgeHistoryDeleteUri": status,
            "restartPostUri": f"{base}/restart?{query}",
            "suspendPostUri": f"{base}/suspend?reason={{text}}&{query}",
            "resumePostUri": f"{base}/resume?reason={{text}}&{query}",
        }
        return json_answer(202, body, Location=status, Retry_After="10")

    def _restart(self, call: ApiRequest, id: str) -> ApiResponse:  # noqa: A002
        instance = self._engine.store.instance(id)
        if instance is None:
            return problem(
                400,
                "InstanceId does not match a valid orchestration instance.",
                f"No instance with ID '{id}' was found. (Parameter 'instanceId')",
                "System.ArgumentException",
            )
        again = None if call.query.get("restartwithnewinstanceid", "true").lower() != "false" else id
        try:
            # The input goes out and in again as JSON: no input becomes null, white space is lost.
            started = self._engine.start(
                instance.name,
                compact(parse_or_text(instance.input)),
                again,
                instance.version,
                execution_id=uuid.uuid4().hex,  # without dashes here, as recorded
            )
        except AlreadyExistsError as error:
            return problem(
                409,
                "A non-terminal instance with this instance ID already exists.",
                str(error),
                "DurableTask.Core.Exceptions.OrchestrationAlreadyExistsException",
            )
        return self._started(call, started)

    # --- look ---------------------------------------------------------------------------------------------

    def _status(self, call: ApiRequest, id: str) -> ApiResponse:  # noqa: A002
        instance = self._engine.store.instance(id)
        if instance is None:
            return ApiResponse(404)
        show_input = call.query.get("showinput", "true").lower() != "false"
        body = _show(instance, show_input=show_input)
        if call.query.get("showhistory", "").lower() == "true":
            body["historyEvents"] = api_history(
                self._engine.store.history(id),
                show_input=show_input,
                show_output=call.query.get("showhistoryoutput", "").lower() == "true",
            )
        if instance.is_terminal:
            wants_500 = call.query.get("returninternalservererroronfailure", "").lower() == "true"
            return json_answer(500 if wants_500 and instance.status == "Failed" else 200, body)
        return json_answer(202, body, Location=call.url, Retry_After="5")

    def _list(self, call: ApiRequest) -> ApiResponse:
        top = _int(call.query.get("top"), PAGE)
        if top < 0:
            return problem(
                500,
                "Something went wrong while processing your request",
                "An error occurred while communicating with Azure Storage",
                "DurableTask.AzureStorage.Storage.DurableTaskStorageException",
            )
        after = _decode(call.headers.get("x-ms-continuation-token", ""))
        found = [] if after is None else self._select(call, after=after, limit=top + 1)
        more = _encode(found[top].id) if len(found) > top else ""
        show_input = call.query.get("showinput", "true").lower() != "false"
        page = [_show(instance, show_input=show_input) for instance in found[:top]]
        return json_answer(200, page, x_ms_continuation_token=more)

    def _select(self, call: ApiRequest, *, after: str = "", limit: int | None = None) -> list[Instance]:
        statuses = [s for s in _listed(call.query.get("runtimestatus")) if s in _STATUSES]
        return self._engine.store.instances(
            after=after,
            limit=limit,
            statuses=statuses,
            created_from=_moment(call.query.get("createdtimefrom")),
            created_to=_moment(call.query.get("createdtimeto")),
            prefix=call.query.get("instanceidprefix", ""),
        )

    # --- change -------------------------------------------------------------------------------------------

    def _raise_event(self, call: ApiRequest, id: str, name: str) -> ApiResponse:  # noqa: A002
        instance = self._engine.store.instance(id)
        if instance is None or instance.is_terminal:
            return ApiResponse(404 if instance is None else 410)
        if call.media_type != "application/json":
            return problem(400, "Only application/json request content is supported")
        text = call.body.decode("utf-8", "replace")
        try:
            value = json.loads(text)
        except ValueError:
            return _invalid_json(text)
        # Stored without the sender's white space (the input of a start is stored as it came).
        self._engine.raise_event(id, name, compact(value))
        return ApiResponse(202)

    def _control(self, call: ApiRequest, id: str, verb: str) -> ApiResponse:  # noqa: A002
        getattr(self._engine, verb.lower())(id, call.query.get("reason"))
        return ApiResponse(202)

    def _purge(self, call: ApiRequest, id: str) -> ApiResponse:  # noqa: A002
        del call
        instance = self._engine.store.instance(id)
        if instance is None:
            return ApiResponse(404)
        if not instance.is_terminal:
            return json_answer(
                412,
                "Only orchestrations in a terminal state can be purged, but the orchestration with instance"
                f" ID {id} has status {instance.status}",
            )
        return json_answer(200, {"instancesDeleted": self._engine.store.purge([id])})

    def _purge_many(self, call: ApiRequest) -> ApiResponse:
        if _moment(call.query.get("createdtimefrom")) is None:
            return json_answer(400, "Please provide value for 'createdTimeFrom' parameter.")
        # As recorded: statuses that are not terminal are dropped, and no status left means no filter at all,
        # so that running instances go too.
        wanted = ",".join(set(_listed(call.query.get("runtimestatus"))) & TERMINAL)
        query = {**call.query, "runtimestatus": wanted, "instanceidprefix": ""}
        chosen = [i.id for i in self._select(replace(call, query=query))]
        deleted = self._engine.store.purge(chosen)
        return json_answer(200, {"instancesDeleted": deleted}) if deleted else ApiResponse(404)


def _not_run(what: str) -> Callable[..., ApiResponse]:
    """Handler of a route that only the real host serves."""

    def answer(call: ApiRequest, **_parts: str) -> ApiResponse:
        return problem(501, f"devhost does not run {what}: {call.method} {call.path}")

    return answer


def _own_url(address: str, query: Mapping[str, str]) -> str:
    """Address of the request as the recorded host repeats it: without hub, connection and key."""
    hidden = ("taskhub", "connection", "code")
    text = urlencode({name: value for name, value in query.items() if name.lower() not in hidden})
    return f"{address}?{text}" if text else address


def _show(instance: Instance, *, show_input: bool) -> dict[str, Any]:
    return {
        "name": instance.name,
        "instanceId": instance.id,
        "runtimeStatus": instance.status,
        "input": parse_or_text(instance.input) if show_input else None,
        "customStatus": parse_or_text(instance.custom_status),
        "output": parse_or_text(instance.output),
        "createdTime": whole_seconds(instance.created),
        "lastUpdatedTime": whole_seconds(instance.updated),
    }


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",")]


def _int(text: str | None, default: int) -> int:
    return int(text) if text is not None and re.fullmatch(r"\s*[+-]?\d{1,9}\s*", text) else default


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:
        return None


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return parse_stamp(text)
    except ValueError:
        return None


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode() + " "


def _decode(token: str) -> str | None:
    """Instance id inside a continuation token, or None for anything else."""
    try:
        return base64.b64decode(token.strip(), validate=True).decode()
    except ValueError:
        return None
