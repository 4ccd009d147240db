"""The activity behind call_http, against a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from devhost.durable import http_activity
from devhost.errors import UserCodeError


class Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        body = {
            "method": self.command,
            "path": self.path,
            "headers": {k.lower(): v for k, v in self.headers.items()},
            "body": self.rfile.read(size).decode(),
        }
        text = json.dumps(body).encode()
        moved = self.path == "/moved"
        self.send_response(302 if moved else 404 if self.path == "/none" else 200)
        if moved:
            self.send_header("Location", "/found?q=1")
        self.send_header("X-Two", "a")
        self.send_header("X-Two", "b")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names http.server calls

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def base() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def call(method: str, uri: str, content: str | None = None, headers: Any = None) -> Any:
    request = {"method": method, "uri": uri, "content": content, "headers": headers}
    return json.loads(http_activity.run(json.dumps(request)))


def test_given_a_get_when_run_then_headers_and_content_are_as_recorded(base: str) -> None:
    result = call("GET", f"{base}/a?x=1", headers={"x-a": "b"})
    seen = json.loads(result["content"])
    assert list(result) == ["statusCode", "headers", "content"]
    assert seen["path"] == "/a?x=1"
    assert list(seen["headers"]) == ["user-agent", "x-a", "host"]
    assert result["headers"]["X-Two"] == "a,b"
    assert not {name for name in result["headers"] if name.lower().startswith("content-")}


def test_given_content_when_posted_then_its_type_is_text_unless_said(base: str) -> None:
    plain = json.loads(call("POST", base, "{}")["content"])
    typed = json.loads(call("POST", base, "{}", {"Content-Type": "application/json"})["content"])
    assert (plain["body"], plain["headers"]["content-type"]) == ("{}", "text/plain")
    assert typed["headers"]["content-type"] == "application/json"


def test_given_an_error_status_when_answered_then_it_is_a_result(base: str) -> None:
    assert call("DELETE", f"{base}/none")["statusCode"] == 404


def test_given_a_redirect_when_answered_then_it_is_followed_with_get(base: str) -> None:
    seen = json.loads(call("POST", f"{base}/moved", "x")["content"])
    assert (seen["method"], seen["path"], seen["body"]) == ("GET", "/found?q=1", "")


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1/", "ftp://x/", "/relative"])
def test_given_no_answer_when_called_then_the_activity_fails(uri: str) -> None:
    with pytest.raises(UserCodeError):
        call("GET", uri)


def test_given_a_token_source_when_called_then_it_is_refused(base: str) -> None:
    request = {"method": "GET", "uri": base, "tokenSource": {"resource": "r"}}
    with pytest.raises(UserCodeError, match="token source"):
        http_activity.run(json.dumps(request))
