"""HTTP server on a loopback port, in a thread of its own; requests and responses of functions."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web, web_protocol
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from multidict import CIMultiDict

from devhost.ports import HOST
from devhost.worker.messages import Datum

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
MAX_HEADER_BYTES = 32 * 1024
"""Limit of Kestrel, for all headers together."""
MAX_TARGET_BYTES = 8 * 1024 - len("GET  HTTP/1.1\r\n")
"""Limit of Kestrel for the request line, without what surrounds the target."""


class BodyTooLargeError(Exception):
    """The body of a request is above the limit, and was not read to its end."""


class _Protocol(web_protocol.RequestHandler):
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, LineTooLong) and exc.args[1] == MAX_TARGET_BYTES:
            refused = empty(414)
            refused.force_close()
            return refused
        return super().handle_error(request, status, exc, message)


class _AioServer(web.Server):
    def __call__(self) -> web_protocol.RequestHandler:
        # As the base class, which has no place for a protocol of one's own.
        return _Protocol(self, loop=self._loop, **self._kwargs)


class _WithoutHeaders(logging.Filter):
    """Takes from a record of aiohttp's the lines of a malformed request, which may hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.exc_info = record.exc_text = None
            record.msg, record.args = "refused a malformed request: %s", (type(error).__name__,)
        return True


logging.getLogger("aiohttp.server").addFilter(_WithoutHeaders())


class Server:
    """Serves a listening socket until stopped. A handler that raises BodyTooLargeError answers 500."""

    def __init__(self, listener: socket.socket, handler: Handler, name: str) -> None:
        self.port: int = listener.getsockname()[1]
        self.origin = f"http://{HOST}:{self.port}"
        self._listener = listener
        self._handler = handler
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._runner: web.ServerRunner | None = None

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(30)

    async def _open(self) -> None:
        server = _AioServer(
            self._serve,
            access_log=None,
            max_line_size=MAX_TARGET_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            # The real host hands a compressed body on as it came.
            auto_decompress=False,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=1)
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener).start()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._handler(request)
        except BodyTooLargeError:
            return empty(500)

    async def _close(self) -> None:
        assert self._runner is not None
        # First accept no more, and only then close: asyncio forgets a connection that it accepted in the same
        # turn in which its server is closed. A reload, whose next process goes on accepting, resets nobody.
        self._loop.remove_reader(self._listener)
        await asyncio.sleep(0.05)
        await self._runner.cleanup()

    def stop(self) -> None:
        if not self._thread.is_alive():
            self._listener.close()
            return
        if self._runner is not None:
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


def empty(status: int) -> web.Response:
    return web.Response(status=status)


def response(
    status: int, headers: Mapping[str, str] | CIMultiDict[str], body: bytes | None, *, chunked: bool
) -> web.Response:
    """A response; `chunked` where the real host sends its body so."""
    made = web.Response(status=status, headers=headers, body=body)
    if chunked and body and status not in (204, 304):
        made.enable_chunked_encoding()
    return made


def raw_path(request: web.BaseRequest) -> str:
    """Percent-encoded path of a request, without the query."""
    return request.raw_path.partition("?")[0]


def _merged_query(request: web.BaseRequest) -> dict[str, str]:
    """Query with names merged whatever their case (the last spelling stays), values joined, no empty ones."""
    merged: dict[str, tuple[str, list[str]]] = {}
    for name, value in request.rel_url.query.items():
        values = merged.get(name.lower(), ("", []))[1]
        merged[name.lower()] = (name, [*values, value])
    joined = {name: ",".join(values) for name, values in merged.values()}
    return {name: value for name, value in joined.items() if value}


async def read_body(request: web.BaseRequest, limit: int) -> bytes:
    """Body of a request. Raises BodyTooLargeError, before anything is read if its length is announced."""
    if (request.content_length or 0) > limit:
        raise BodyTooLargeError
    parts, size = [], 0
    async for part in request.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > limit:
            raise BodyTooLargeError
    return b"".join(parts)


async def request_datum(
    request: web.BaseRequest, origin: str, route_values: dict[str, str], limit: int
) -> Datum:
    """A request in the form that the HTTP converter of azure.functions reads. Raises BodyTooLargeError."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        lower = name.lower()
        headers[lower] = f"{headers[lower]},{value}" if lower in headers else value
    # As on the real host, a body without a Content-Length does not reach the function.
    body = await read_body(request, limit) if request.content_length else b""
    host = request.headers.get("Host")
    url = (f"http://{host}" if host else origin) + request.raw_path

    def texts(values: dict[str, str]) -> dict[str, Datum]:
        return {name: Datum(value, "string") for name, value in values.items()}

    return Datum(
        {
            "method": Datum(request.method, "string"),
            "url": Datum(url, "string"),
            "headers": texts(headers),
            "params": texts(route_values),
            "query": texts(_merged_query(request)),
            "body": Datum(body, "bytes"),
        },
        "http",
    )


def response_from(datum: Datum) -> web.Response:
    """HTTP response made of a function's encoded one."""
    if datum.type != "http":
        return _text_response(str(datum.value))
    value = datum.value
    headers = CIMultiDict((name, str(item.value)) for name, item in value["headers"].items())
    for name in ("content-length", "transfer-encoding", "connection"):
        headers.popall(name, None)
    for cookie in value["cookies"] or ():
        for morsel in cookie.values():
            headers.add("Set-Cookie", morsel.OutputString())
    return response(int(value["status_code"].value), headers, value["body"].value, chunked=True)


def _text_response(text: str) -> web.Response:
    try:
        value: Any = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict):
        if "body" in value:
            body = value["body"]
            text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, indent=2)
            headers = {str(k): str(v) for k, v in (value.get("headers") or {}).items()}
            headers.setdefault("Content-Type", "text/plain; charset=utf-8")
            status = int(value.get("statusCode") or value.get("status") or 200)
            return response(status, headers, text.encode(), chunked=True)
        text = json.dumps(value, ensure_ascii=False, indent=2)
    return response(200, {"Content-Type": "text/plain; charset=utf-8"}, text.encode(), chunked=True)
