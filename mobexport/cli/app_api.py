"""A client of the pipeline's HTTP API, for the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

import requests

from mobexport.cli.connection import Connection
from mobexport.errors import ConfigError, NotFound, Rejected, RequestError, Transient
from mobexport.redact import redact
from mobexport.standard_webhooks import call_headers

_TIMEOUT: Final = (10, 60)
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})


class AppApi:
    """Calls to one app. Every method raises Transient, Rejected, NotFound or RequestError."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.date: str | None = None
        """The header `Date` of the newest answer."""
        self._session = requests.Session()
        # A proxy has no business between us and this machine.
        self._session.trust_env = not connection.is_local

    def health(self) -> dict[str, Any]:
        """The app's own checks, also when some of them fail."""
        answer = self._send("GET", "/api/health")
        found = _json(answer)
        if answer.status_code in (200, 503) and isinstance(found, dict) and "checks" in found:
            return found
        raise self._error(answer)

    def request_export(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call("POST", "/api/exports", body)

    def request_batch(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call("POST", "/api/batches", body)

    def get_export(self, export_id: str) -> dict[str, Any]:
        return self._call("GET", f"/api/exports/{quote(export_id, safe='')}")

    def get(self, id_: str) -> dict[str, Any]:
        """The export of that id, else the batch."""
        try:
            return self.get_export(id_)
        except NotFound:
            try:
                return self._call("GET", f"/api/batches/{quote(id_, safe='')}")
            except NotFound:
                raise NotFound(f"there is no export or batch {id_!r} at {self.connection.url}") from None

    def cancel(self, export_id: str) -> dict[str, Any]:
        return self._call("POST", f"/api/exports/{quote(export_id, safe='')}/cancel")

    def test_target(self, target: str) -> dict[str, Any]:
        return self._call("POST", f"/api/targets/{quote(target, safe='')}/test")

    def resend(self, export_id: str, notification: str) -> dict[str, Any]:
        export, name = (quote(part, safe="") for part in (export_id, notification))
        return self._call("POST", f"/api/exports/{export}/notifications/{name}/resend")

    def list_notifications(self, options: Mapping[str, str], limit: int) -> Iterator[dict[str, Any]]:
        """Notifications by export, at most so many, page by page."""
        return self._pages("/api/notifications", "notifications", options, limit)

    def schedules(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call("GET", "/api/schedules")["schedules"]
        return found

    def description(self) -> dict[str, Any]:
        """The OpenAPI description that the app serves."""
        return self._call("GET", "/api/openapi.json")

    def list_exports(self, options: Mapping[str, str], limit: int) -> Iterator[dict[str, Any]]:
        """Exports, newest first, at most so many, page by page."""
        return self._pages("/api/exports", "exports", options, limit)

    def _pages(
        self, path: str, member: str, options: Mapping[str, str], limit: int
    ) -> Iterator[dict[str, Any]]:
        page: dict[str, Any] = self._call("GET", path, params=options)
        while True:
            for item in page[member][:limit]:
                limit -= 1
                yield item
            link = page["links"].get("next")
            if not link or limit <= 0:
                return
            # Its path and query alone: the key goes to the app that was named, wherever a link leads.
            parts = urlsplit(link)
            page = self._call("GET", f"{parts.path}?{parts.query}")

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        answer = self._send(method, path, body, params)
        found = _json(answer)
        if answer.status_code not in (200, 202) or not isinstance(found, dict):
            raise self._error(answer)
        return found

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> requests.Response:
        data = json.dumps(body).encode() if body is not None else b""
        headers = {"Content-Type": "application/json"} if data else {}
        headers |= {"x-functions-key": self.connection.key} if self.connection.key else {}
        headers |= self._signature(method, path, data) if method == "POST" else {}
        try:
            answer = self._session.request(
                method,
                self.connection.url + path,
                data=data,
                params=params,
                headers=headers,
                timeout=_TIMEOUT,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise Transient(
                f"{self.connection.url} does not answer ({type(error).__name__}); is the app running?"
            ) from None
        self.date = answer.headers.get("Date")
        return answer

    def _signature(self, method: str, path: str, data: bytes) -> dict[str, str]:
        if not self.connection.secret:
            return {}
        try:
            return call_headers(self.connection.secret, method, path, data)
        except ValueError:
            raise ConfigError("MOBEXPORT_SIGNING_SECRET: must be whsec_ followed by base64") from None

    def _error(self, answer: requests.Response) -> Exception:
        """What the app said, as an error of ours; `problems` name options by the field's name."""
        found = _json(answer)
        detail = found.get("detail") if isinstance(found, dict) else None
        said = redact(str(detail or f"{self.connection.url} answered HTTP {answer.status_code}"))
        status = answer.status_code
        if status in (401, 403) and not detail:
            return RequestError(f"{said}: set MOBEXPORT_KEY to a function key of the app, or use a profile")
        if status in _PASSING:
            return Transient(said, status=status)
        if status == 404:
            return NotFound(said)
        return (
            RequestError(said)
            if 400 <= status < 500
            else Rejected(f"{said}: is this the app's URL?", status=status)
        )


def _json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
