"""HTTP client of any server that speaks the Export API's contract.

Messages name the call and the answer, never the body or the token: the body holds a SAS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from opentelemetry.trace import SpanKind
from pydantic import ValidationError

from mobexport.config import Endpoint
from mobexport.contract import API_VERSION, MAX_DESCRIPTION, MAX_TOP, RecordCounts, TaskState
from mobexport.credentials import forget_tokens, get_token
from mobexport.errors import MobexportError, Rejected, Transient
from mobexport.failure_policy import Decision, Peer, as_error, on_status
from mobexport.http_calls import BETWEEN_BYTES, Answer, CallFailed, call
from mobexport.pipeline.jobs.source import Delivery, Job
from mobexport.pipeline.registry.export_request import ExportRequest
from mobexport.pipeline.registry.states import JobState
from mobexport.records.formats import ExportFormat
from mobexport.telemetry import metrics, tracing
from mobexport.untrusted import NotJson, Unfit, check_word, parse_json, prose

# One call from its begin to the end of its answer.
_SECONDS: Final = 60.0
# A job lost in a crash between create and registry is among the newest tasks; more pages only cost.
_PAGES: Final = 3
# A page of tasks whose descriptions are of their full length and written in escapes.
_MAX_ANSWER: Final = 8 * 1024 * 1024
_MAX_STATE: Final = 40
# Of a task's counts; a row holds them.
_MAX_RULES: Final = 50
_MAX_RULE: Final = 80
_MAX_TEXT: Final = 300


class ExportApiClient:
    """A JobSource over HTTP. What comes back goes through `untrusted` before it is kept or shown."""

    delivery = Delivery.PUSHED
    file_format = ExportFormat.JSON
    states: Mapping[str, JobState] = {
        TaskState.QUEUED: JobState.QUEUED,
        TaskState.STARTED: JobState.RUNNING,
        TaskState.SUCCEEDED: JobState.SUCCEEDED,
        TaskState.FAILED: JobState.FAILED,
    }

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout: tuple[float, float] = BETWEEN_BYTES,
        seconds: float = _SECONDS,
    ) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._seconds = seconds

    def create(self, request: ExportRequest, container_url: str | None, description: str) -> Job:
        body: dict[str, Any] = {
            "containerUrl": container_url,
            "exportFormat": request.export_format,
            "description": description,
            **request.parameters(),
        }
        return _job(*self._call("POST", request.app, f"/{request.route}", body=body))

    def status(self, request: ExportRequest, job_id: str) -> Job:
        return _job(*self._call("GET", request.app, f"/{quote(job_id, safe='')}"))

    def find_by_marker(self, request: ExportRequest, marker: str) -> list[Job]:
        found: list[tuple[str, Job]] = []
        for page in range(_PAGES):
            query = {"$orderby": "dateCreated desc", "$top": str(MAX_TOP), "$skip": str(page * MAX_TOP)}
            answer, _ = self._call("GET", request.app, "", query=query)
            jobs = answer.get("value")
            if not isinstance(jobs, list):
                raise Transient("the Export API listed its tasks without a `value`")
            # Only ours must pass the gate: tasks of others, whatever they hold, are not our concern.
            ours = [one for one in jobs if _description(one).startswith(marker) and _is_of(one, request)]
            found += [(str(one.get("dateCreated")), _job(one, None)) for one in ours]
            if len(jobs) < MAX_TOP:
                break
        # Whoever copies a description comes later.
        return [job for _, job in sorted(found, key=lambda one: (one[0], one[1].id))]

    def abort(self, request: ExportRequest, job_id: str) -> None:
        """Does nothing: the contract has no such call. The job fails when its container is gone."""

    def ping(self, app: str) -> None:
        """Raises if the API cannot be reached or refuses this caller; any app will do."""
        try:
            self._call("GET", app, "", query={"$top": "1"})
        except Rejected as error:
            if error.status != 404:
                raise

    def _call(
        self,
        method: str,
        app: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, Any], float | None]:
        """The answer's JSON object and its Retry-After in seconds."""
        url = f"{self._endpoint.tasks_url(app)}{path}"
        what = f"{method} exportTasks{path} of app {app!r}"
        response = self._send(method, url, what, query, body)
        if (
            response.status not in (200, 202)
            and on_status(response.status, Peer.EXPORT_API) is Decision.REFRESH_TOKEN
            and self._endpoint.scope
        ):
            # A token can be refused before it expires (a rotated key, a new role): once more, with a new one.
            forget_tokens()
            response = self._send(method, url, what, query, body)
        retry_after = response.retry_after
        if response.status not in (200, 202):
            raise classify(
                response.status, what, _error_text(response.body), retry_after, self._endpoint.scope_setting
            )
        try:
            answer = parse_json(response.body, _MAX_ANSWER)
        except NotJson:
            # A gateway's page, for one: it passes.
            answer = None
        except Unfit as error:
            raise _unfit(f"answered {what}", error) from None
        if not isinstance(answer, dict):
            raise Transient(f"the Export API answered {what} with something other than a JSON object")
        return answer, retry_after

    def _send(
        self,
        method: str,
        url: str,
        what: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
    ) -> Answer:
        headers = {}
        if self._endpoint.scope:
            token = get_token(self._endpoint.scope, self._endpoint.scope_setting)
            headers["Authorization"] = f"Bearer {token}"
        about: dict[str, str | int] = {"http.request.method": method, "url.full": tracing.strip_secrets(url)}
        with tracing.span(f"{method} exportTasks", kind=SpanKind.CLIENT, attributes=about) as span:
            try:
                response = call(
                    method,
                    url,
                    seconds=self._seconds,
                    most=_MAX_ANSWER,
                    between_bytes=self._timeout,
                    params={"api-version": API_VERSION, **(query or {})},
                    json=body,
                    headers={**headers, **tracing.headers()},
                )
            except CallFailed as failed:
                metrics.api_called(method, failed.name)
                did = "gave no usable answer" if failed.decision is Decision.FAIL else "cannot be reached"
                message = f"the Export API {did}: {what}: {failed.reason}"
                raise as_error(failed.decision, message) from None
            metrics.api_called(method, str(response.status))
            span.set_attribute("http.response.status_code", response.status)
            if response.status >= 400:
                tracing.fail(str(response.status))
            return response


def classify(
    status: int, what: str, detail: str, retry_after: float | None, scope_setting: str
) -> MobexportError:
    """The error for an HTTP status of the Export API; `scope_setting` is the setting to check."""
    message = f"the Export API answered {what} with HTTP {status}{': ' if detail else ''}{detail}"
    decision = on_status(status, Peer.EXPORT_API)
    if decision in (Decision.CONFIGURE, Decision.REFRESH_TOKEN):
        message += f"; check {scope_setting} and who may call that API"
    return as_error(decision, message, status=status, retry_after=retry_after)


def _error_text(body: bytes) -> str:
    try:
        error = parse_json(body, _MAX_ANSWER)["error"]
        return prose(f"{error['code']}: {error['message']}", 500)
    except (Unfit, KeyError, TypeError):
        return ""


def _job(answer: Any, retry_after: float | None) -> Job:
    fields = _fields(answer)
    if fields.get("id") is None or fields.get("state") is None:
        raise Transient("the Export API showed an export task without id or state")
    try:
        job_id = check_word(fields["id"], "id")
        state = check_word(fields["state"], "state", _MAX_STATE)
    except Unfit as error:
        raise _unfit("showed an export task that cannot be used", error) from None
    details = fields.get("errordetails")
    return Job(
        job_id,
        state,
        _description(answer),
        prose(details) if details else None,
        retry_after,
        counts=_counts(fields.get("counts")),
    )


def _counts(value: Any) -> dict[str, Any] | None:
    """The counts that a server of this project's kind tells; None of others, or if they are none."""
    try:
        found: dict[str, Any] = RecordCounts.model_validate(value).model_dump(
            by_alias=True, exclude_none=True
        )
    except ValidationError:
        return None
    rules = sorted(found["rules"].items(), key=lambda one: (-one[1], one[0]))[:_MAX_RULES]
    texts: dict[str, Any] = {
        name: prose(found[name], _MAX_TEXT) for name in ("rejects", "empty") if name in found
    }
    return {**found, "rules": {prose(name, _MAX_RULE): count for name, count in rules}, **texts}


def _fields(task: Any) -> dict[str, Any]:
    # An early revision of the specification wrote PascalCase.
    return {str(name).lower(): value for name, value in task.items()} if isinstance(task, dict) else {}


def _is_of(item: Mapping[str, Any], request: ExportRequest) -> bool:
    """Whether the task exports what was asked for, as far as it says so."""
    said = item.get("exportType")
    return said is None or said == request.export_type


def _description(task: Any) -> str:
    """Our own text, as the server repeats it."""
    value = _fields(task).get("description")
    return prose(value, MAX_DESCRIPTION) if isinstance(value, str) else ""


def _unfit(did: str, error: Unfit) -> Rejected:
    # At once: the same call would be answered in the same way.
    return Rejected(f"the Export API {did}: {error}", code="UnfitAnswer")
