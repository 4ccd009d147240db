"""HTTP client of any server that speaks the Export API's contract.

Messages name the call and the answer, never the body or the token: the body holds a SAS.
"""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import requests
from opentelemetry.trace import SpanKind

from mobexport.config import Endpoint
from mobexport.contract import API_VERSION, MAX_TOP, TaskState
from mobexport.errors import MobexportError, Rejected, Transient
from mobexport.failure_policy import Decision, Peer, as_error, on_exception, on_status
from mobexport.pipeline.jobs.credentials import forget_tokens, get_token
from mobexport.pipeline.jobs.source import Delivery, Job
from mobexport.pipeline.registry.export_request import ExportRequest
from mobexport.pipeline.registry.states import JobState
from mobexport.records.formats import ExportFormat
from mobexport.redact import redact
from mobexport.settings import is_loopback
from mobexport.telemetry import metrics, tracing

_TIMEOUT: Final = (5, 30)
# A job lost in a crash between create and registry is among the newest tasks; more pages only cost.
_PAGES: Final = 3
_MAX_ANSWER: Final = 4 * 1024 * 1024


class ExportApiClient:
    """A JobSource over HTTP; one a step, since a session keeps no state worth sharing."""

    delivery = Delivery.PUSHED
    file_format = ExportFormat.JSON
    states: Mapping[str, JobState] = {
        TaskState.QUEUED: JobState.QUEUED,
        TaskState.STARTED: JobState.RUNNING,
        TaskState.SUCCEEDED: JobState.SUCCEEDED,
        TaskState.FAILED: JobState.FAILED,
    }

    def __init__(self, endpoint: Endpoint, *, timeout: tuple[float, float] = _TIMEOUT) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._session = requests.Session()
        # Proxies and .netrc of the environment must not see or add credentials on the way to ourselves.
        self._session.trust_env = not is_loopback(endpoint.url)

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
        found: list[Job] = []
        for page in range(_PAGES):
            query = {"$orderby": "dateCreated desc", "$top": str(MAX_TOP), "$skip": str(page * MAX_TOP)}
            answer, _ = self._call("GET", request.app, "", query=query)
            jobs = answer.get("value")
            if not isinstance(jobs, list):
                raise Transient("the Export API listed its tasks without a `value`")
            found += [job for item in jobs if (job := _job(item, None)).description.startswith(marker)]
            if len(jobs) < MAX_TOP:
                break
        return sorted(found, key=lambda job: job.id)

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
            response.status_code not in (200, 202)
            and on_status(response.status_code, Peer.EXPORT_API) is Decision.REFRESH_TOKEN
            and self._endpoint.scope
        ):
            # A token can be refused before it expires (a rotated key, a new role): once more, with a new one.
            forget_tokens()
            response = self._send(method, url, what, query, body)
        retry_after = _seconds(response.headers.get("Retry-After"))
        if response.status_code not in (200, 202):
            raise classify(
                response.status_code, what, _error_text(response), retry_after, self._endpoint.scope_setting
            )
        try:
            answer = response.json() if len(response.content) <= _MAX_ANSWER else None
        except requests.JSONDecodeError:
            answer = None
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
    ) -> requests.Response:
        headers = {}
        if self._endpoint.scope:
            token = get_token(self._endpoint.scope, self._endpoint.scope_setting)
            headers["Authorization"] = f"Bearer {token}"
        about: dict[str, str | int] = {"http.request.method": method, "url.full": tracing.strip_secrets(url)}
        with tracing.span(f"{method} exportTasks", kind=SpanKind.CLIENT, attributes=about) as span:
            try:
                response = self._session.request(
                    method,
                    url,
                    params={"api-version": API_VERSION, **(query or {})},
                    json=body,
                    headers={**headers, **tracing.headers()},
                    timeout=self._timeout,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                # The exception's own text holds the URL and more; its class says what is needed.
                name = type(error).__name__
                metrics.api_called(method, name)
                message = f"the Export API cannot be reached: {what}: {name}"
                raise as_error(on_exception(error) or Decision.RETRY, message) from None
            metrics.api_called(method, str(response.status_code))
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 400:
                tracing.fail(str(response.status_code))
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


def _error_text(response: requests.Response) -> str:
    try:
        error = response.json()["error"]
        text = f"{error['code']}: {error['message']}"
    except (ValueError, KeyError, TypeError):
        text = ""
    return redact(text)[:500]


def _seconds(value: str | None) -> float | None:
    """`Retry-After` as seconds, given as a number or a date; at most a day."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    # `nan` is not valid JSON, so it must not reach an answer.
    return None if math.isnan(seconds) else min(max(seconds, 0.0), 86400.0)


def _job(answer: Any, retry_after: float | None) -> Job:
    # An early revision of the specification wrote PascalCase.
    fields = {str(name).lower(): value for name, value in answer.items()} if isinstance(answer, dict) else {}
    job_id, state = fields.get("id"), fields.get("state")
    if not isinstance(job_id, str) or not job_id or not isinstance(state, str):
        raise Transient("the Export API showed an export task without id or state")
    error = fields.get("errordetails")
    return Job(
        job_id,
        state,
        str(fields.get("description") or ""),
        redact(str(error))[:1000] if error else None,
        retry_after,
    )
