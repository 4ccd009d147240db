"""The HTTP server alone: limits and framing as the real host has them."""

from __future__ import annotations

import gzip
import http.client
import logging
import socket
from collections.abc import Iterator

import pytest
from aiohttp import web

from devhost.http_server import MAX_TARGET_BYTES, Server, read_body, response
from devhost.ports import open_port

LIMIT = 100_000


async def _handle(request: web.BaseRequest) -> web.StreamResponse:
    if request.method == "POST":
        return response(200, {}, await read_body(request, LIMIT), chunked=True)
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


def _post(port: int, body: object, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_given_a_request_line_above_8_kb_then_414(port: int) -> None:
    assert _get(port, "/" + "x" * (MAX_TARGET_BYTES - 1))[0] == 200
    for length in (MAX_TARGET_BYTES, 100_000):
        status, headers, body = _get(port, "/" + "x" * length)
        assert (status, body, headers["content-length"]) == (414, b"", "0")


def test_given_a_body_above_the_limit_then_500_before_it_is_sent(port: int) -> None:
    assert _post(port, b"x" * LIMIT) == (200, b"x" * LIMIT)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (LIMIT + 1))
        assert client.recv(1000).startswith(b"HTTP/1.1 500 ")
    assert _post(port, (b"x" * 10_000 for _ in range(11))) == (500, b"")  # chunked: no length is announced


def test_given_a_compressed_body_then_it_arrives_as_it_was_sent(port: int) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    assert len(bomb) < LIMIT
    assert _post(port, bomb, **{"Content-Encoding": "gzip"}) == (200, bomb)


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
