"""The HTTP server alone: limits and framing as the real host has them."""

from __future__ import annotations

import http.client
import logging
import socket
from collections.abc import Iterator

import pytest
from aiohttp import web

from devhost.http_server import Server, response
from devhost.ports import open_port


async def _handle(request: web.BaseRequest) -> web.StreamResponse:
    size = len(request.headers.get("X-Long", ""))
    body = b"" if request.query.get("empty") else str(size).encode()
    return response(200, {"Content-Type": "text/plain"}, body, chunked="plain" not in request.query)


@pytest.fixture
def port() -> Iterator[int]:
    server = Server(open_port(0), _handle, "test")
    server.start()
    yield server.port
    server.stop()


def _get(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_given_a_long_header_then_accepted_up_to_kestrels_limit(port: int) -> None:
    assert _get(port, "/", **{"X-Long": "x" * 20_000})[::2] == (200, b"20000")
    assert _get(port, "/", **{"X-Long": "x" * 40_000})[0] == 400


def test_given_a_response_body_then_it_is_chunked_unless_empty(port: int) -> None:
    status, headers, body = _get(port, "/")
    assert (status, headers.get("transfer-encoding"), body) == (200, "chunked", b"0")
    assert "content-length" not in headers
    assert _get(port, "/?empty=1")[1]["content-length"] == "0"
    assert _get(port, "/?plain=1")[1]["content-length"] == "1"
    assert "content-length" not in _get(port, "/", "HEAD")[1]


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nAuthorization: Bearer SECRET\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization : Bearer SECRET\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: Bearer SECRET" + b"x" * 40_000 + b"\r\n\r\n",
        b"GET /?sig=SECRET\0 HTTP/1.1\r\n\r\n",
        b"G\0T SECRET\r\n\r\n",
    ],
    ids=["value", "name", "length", "query", "method"],
)
def test_given_a_malformed_request_then_its_lines_stay_out_of_the_log(
    port: int, caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request_)
        assert connection.recv(100).startswith(b"HTTP/1.0 400")
    assert "refused a malformed request" in caplog.text
    assert "SECRET" not in caplog.text
