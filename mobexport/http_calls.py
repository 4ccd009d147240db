"""HTTP calls of other systems: one call has a time limit as a whole, its answer a limit in bytes.

The time-outs of `requests` count between bytes, so a server that drips holds a call for ever; and it unpacks
whatever it is sent. Here the connection is broken off when the time is over, in whatever state it is, and a
packed body is unpacked up to the limit. Redirects are not followed.
"""

from __future__ import annotations

import email.utils
import math
import socket
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import requests
import urllib3
from requests.adapters import HTTPAdapter

from mobexport.failure_policy import Decision, on_exception
from mobexport.settings import is_loopback

BETWEEN_BYTES: Final = (5.0, 30.0)
"""Seconds to connect, and between two pieces of an answer."""
MOST_RETRY_AFTER: Final = 3600.0
"""Whoever asks for more would hold what waits beyond its deadline, or for ever."""
_CHUNK: Final = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """An answer whose body was read whole, unpacked."""

    status: int
    headers: Mapping[str, str]
    """Names in any case."""
    body: bytes

    @property
    def retry_after(self) -> float | None:
        """Seconds that it asks to wait, an hour at most; None if it does not, or in no known form."""
        return seconds_of(self.headers.get("Retry-After"))


def seconds_of(value: str | None) -> float | None:
    """`Retry-After`, a number or a date, as seconds: from 0 to an hour."""
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
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MOST_RETRY_AFTER)


class CallFailed(Exception):
    """No usable answer: `name` for programs, `reason` for people, and the reaction."""

    def __init__(self, name: str, reason: str, decision: Decision) -> None:
        super().__init__(reason)
        self.name = name
        self.reason = reason
        self.decision = decision


def call(
    method: str,
    url: str,
    *,
    seconds: float,
    most: int | None,
    between_bytes: tuple[float, float] = BETWEEN_BYTES,
    **request: Any,
) -> Answer:
    """One call: at most `seconds` from its begin until its answer was read, at most `most` bytes of body.

    `most` None: only the status is of interest, the body is not read. `request` goes to `requests`. Raises
    CallFailed; a status is no failure.
    """
    connections = Connections()
    try:
        with connections.within(seconds), requests.Session() as session:
            # Proxies and .netrc of the environment must not see or add credentials on the way to ourselves.
            session.trust_env = not is_loopback(url)
            for scheme in ("http://", "https://"):
                session.mount(scheme, connections)
            with session.request(
                method,
                url,
                headers={"Accept-Encoding": "gzip", **request.pop("headers", {})},
                timeout=between_bytes,
                allow_redirects=False,
                stream=True,
                **request,
            ) as response:
                answer = Answer(
                    response.status_code, response.headers, b"" if most is None else _read(response, most)
                )
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        if connections.broken:
            raise _too_slow(seconds) from None
        # The exception's own text holds the URL and more; its class says what is needed.
        name = type(error).__name__
        raise CallFailed(name, name, on_exception(error) or Decision.RETRY) from None
    finally:
        connections.release()
    if connections.broken:
        # What was broken off can look like an end: of headers, of a body without a length.
        raise _too_slow(seconds)
    return answer


def _too_slow(seconds: float) -> CallFailed:
    return CallFailed("TooSlow", f"no whole answer within {seconds:g} seconds", Decision.RETRY)


def _read(response: requests.Response, most: int) -> bytes:
    """The body, unpacked; stops reading and unpacking behind `most` bytes. Raises CallFailed."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        # Several layers, too, which would multiply.
        raise CallFailed("UnknownEncoding", "its answer is packed in an unknown way", Decision.FAIL)
    # 32 + 15: the header says whether it is gzip or zlib.
    unpacker = zlib.decompressobj(47) if encoding not in ("", "identity") else None
    found = bytearray()
    raw = 0
    while chunk := response.raw.read(_CHUNK, decode_content=False):
        raw += len(chunk)
        try:
            found += unpacker.decompress(chunk, most + 1 - len(found)) if unpacker else chunk
        except zlib.error:
            raise CallFailed("NotUnpacked", "its packed answer cannot be unpacked", Decision.RETRY) from None
        if len(found) > most or raw > most + _CHUNK:
            raise CallFailed("TooLarge", f"its answer is larger than {most} bytes", Decision.FAIL)
    if unpacker and not unpacker.eof and raw:
        raise CallFailed("NotUnpacked", "its packed answer is cut off", Decision.RETRY)
    return bytes(found)


class Connections(HTTPAdapter):
    """Connections of a session that end when a call has taken too long.

    With `most`, bodies are read here, up to so many bytes, for a client that would read them without limit:
    beyond it the call fails as if the connection were broken.
    """

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self._most = most
        self.broken = False
        self._lock = threading.Lock()
        self._opened: list[socket.socket] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(request, *args, **kwargs)
        if self._most is not None:
            try:
                body = _read(response, self._most)
            except CallFailed as failed:
                response.close()
                raise requests.ConnectionError(failed.reason) from None
            # `requests` has no other way to say that a body was read.
            response._content, response._content_consumed = body, True  # type: ignore[attr-defined]  # noqa: SLF001
        return response

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if not issubclass(pool.ConnectionCls, _Watched):
            pool.ConnectionCls = type("Watched", (_Watched, pool.ConnectionCls), {"opened": self._keep})
        return pool

    def _keep(self, opened: socket.socket) -> None:
        with self._lock:
            # A second handle of the same connection: TLS takes the first one over.
            self._opened.append(opened.dup())
        if self.broken:
            self._break_off()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """For one call: when the time is over, all connections are broken off, and later ones at once."""
        timer = threading.Timer(seconds, self._break_off)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _break_off(self) -> None:
        """Ends every connection; whoever waits for it sees its end."""
        self.broken = True
        with self._lock:
            for one in self._opened:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # it is closed already

    def release(self) -> None:
        """Closes the second handles."""
        with self._lock:
            for one in self._opened:
                one.close()
            self._opened.clear()


class _Watched:
    """A connection of urllib3 that shows its socket as soon as there is one, before TLS."""

    opened: Any

    def _new_conn(self) -> socket.socket:
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        type(self).opened(made)
        return made
