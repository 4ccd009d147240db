"""The activity behind `call_http`: one HTTP request, made by the host itself.

Source: TaskHttpActivityShim of the Durable extension, and its recorded results.
"""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urljoin, urlsplit

from devhost.errors import UserCodeError

NAME = "BuiltIn::HttpActivity"
USER_AGENT = "Microsoft.Azure.WebJobs.Extensions.DurableTask/3.14.1"
TIMEOUT_SECONDS = 100.0
"""As .NET's HttpClient."""
_REDIRECTS = {301: "GET", 302: "GET", 303: "GET", 307: None, 308: None}
"""The method that follows; None keeps it."""
_MOST_REDIRECTS = 50
_CONTENT_HEADERS = ("content-", "allow", "expires", "last-modified")
"""In .NET these belong to the content, and only the other ones are passed on."""


def run(request_json: str) -> str:
    """JSON text of an action's `httpRequest` in, of `{statusCode, headers, content}` out.

    Any status is a result. Raises UserCodeError when there is no answer; its message is the whole reason.
    """
    request = json.loads(request_json)
    if request.get("tokenSource"):
        raise _failure("call_http with a token source is not supported by devhost: there is no identity here")
    try:
        return _follow(request)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failure(str(error) or type(error).__name__) from error


def _failure(message: str) -> UserCodeError:
    return UserCodeError("HttpRequestException", message, "")


def _follow(request: dict[str, Any]) -> str:
    method, uri, content = request["method"], request["uri"], request.get("content")
    for _ in range(_MOST_REDIRECTS):
        status, headers, text = _send(method, uri, content, request.get("headers") or {})
        if status not in _REDIRECTS or "Location" not in headers:
            return json.dumps(
                {"statusCode": status, "headers": headers, "content": text},
                ensure_ascii=False,
                separators=(",", ":"),
            )
        uri = urljoin(uri, headers["Location"])
        if (following := _REDIRECTS[status]) and method != "HEAD":
            method, content = following, None
    raise ValueError("too many redirects")


def _send(
    method: str, uri: str, content: str | None, headers: dict[str, str]
) -> tuple[int, dict[str, str], str]:
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"the address '{uri}' is not an absolute http or https URL")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("User-Agent", USER_AGENT)
        content_type = "text/plain"
        for name, value in headers.items():
            if name.lower() == "content-type":
                content_type = value
            else:
                connection.putheader(name, value)
        connection.putheader("Host", parts.netloc.rpartition("@")[2])
        body = None
        if content is not None:
            body = content.encode()
            connection.putheader("Content-Type", content_type)
            connection.putheader("Content-Length", str(len(body)))
        elif method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", "0")
        connection.endheaders(body)
        answer = connection.getresponse()
        charset = answer.headers.get_content_charset("utf-8")
        return answer.status, _shown(answer.getheaders()), answer.read().decode(charset, "replace")
    finally:
        connection.close()


def _shown(headers: list[tuple[str, str]]) -> dict[str, str]:
    shown: dict[str, str] = {}
    for name, value in headers:
        if not name.lower().startswith(_CONTENT_HEADERS):
            shown[name] = f"{shown[name]},{value}" if name in shown else value
    return shown
