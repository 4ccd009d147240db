"""Calls of other systems over real sockets: what drips, floods or packs costs neither time nor memory."""

import gzip
import resource
import time
import zlib

import pytest
from raw_server import RawServer, dripping, saying

from mobexport.failure_policy import Decision
from mobexport.http_calls import Answer, CallFailed, call

OK = b"HTTP/1.1 200 OK\r\n"
MOST = 1000


def get(url: str, *, seconds: float = 20, most: int | None = MOST) -> Answer:
    return call("GET", url, seconds=seconds, most=most)


def framed(body: bytes, *headers: bytes) -> bytes:
    head = b"\r\n".join([OK.strip(), b"Content-Length: %d" % len(body), *headers])
    return head + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "answer",
    [
        framed(b"x" * MOST),
        OK + b"\r\n" + b"x" * MOST,
        OK + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + b"x" * MOST + b"\r\n0\r\n\r\n",
        framed(gzip.compress(b"x" * MOST), b"Content-Encoding: gzip"),
        framed(zlib.compress(b"x" * MOST), b"Content-Encoding: deflate"),
    ],
    ids=["length", "until the end", "chunked", "gzip", "deflate"],
)
def test_given_an_answer_of_the_largest_size_then_read_whole(answer: bytes) -> None:
    with RawServer(saying(answer)) as server:
        assert get(server.url) == Answer(200, get(server.url).headers, b"x" * MOST)


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b"H"),
        (OK, b"X"),
        (OK, b"X: y\r\n"),
        (OK + b"Content-Length: 900\r\n\r\n", b"x"),
        (OK + b"\r\n", b"x"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["status", "header", "headers", "body", "no length", "chunk size", "trailers", "continue"],
)
def test_given_a_server_that_drips_when_the_time_is_over_then_broken_off(head: bytes, drop: bytes) -> None:
    with RawServer(dripping(head, drop)) as server:
        began = time.monotonic()
        with pytest.raises(CallFailed) as failed:
            get(server.url, seconds=0.6)
        assert time.monotonic() - began < 5
        assert (failed.value.name, failed.value.decision) == ("TooSlow", Decision.RETRY)
        # The connection is gone as well, not only our patience.
        assert server.broken.wait(10)


@pytest.mark.parametrize(
    "head",
    [b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n7fffffffffff\r\n", b"Content-Length: 99999999999\r\n\r\n"],
)
def test_given_an_answer_without_end_then_reading_stops_at_the_limit(head: bytes) -> None:
    with RawServer(dripping(OK + head, b"x" * 65536, seconds=0)) as server:
        with pytest.raises(CallFailed, match="larger than 1000 bytes") as failed:
            get(server.url)
        assert failed.value.decision is Decision.FAIL
        assert server.broken.wait(10)
        assert server.sent < 32 * 1024 * 1024


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (gzip.compress(b"\0" * 200_000_000, 9), b"gzip"),
        (zlib.compress(b"\0" * 200_000_000, 9), b"deflate"),
        (gzip.compress(gzip.compress(b"\0" * 200_000_000)), b"gzip, gzip"),
        (b"\0", b"br"),
    ],
    ids=["gzip", "deflate", "twice", "unknown"],
)
def test_given_a_packed_bomb_then_refused_before_it_is_unpacked(packed: bytes, encoding: bytes) -> None:
    with RawServer(saying(framed(packed, b"Content-Encoding: " + encoding))) as server:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(CallFailed) as failed:
            get(server.url)
        assert failed.value.decision is Decision.FAIL
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (b"", "ConnectionError"),
        (b"SSH-2.0\r\n", "ConnectionError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", "ProtocolError"),
        (framed(gzip.compress(b"x" * 99)[:-9], b"Content-Encoding: gzip"), "NotUnpacked"),
        (framed(b"not gzip", b"Content-Encoding: gzip"), "NotUnpacked"),
    ],
    ids=["nothing", "SSH", "cut short", "cut gzip", "no gzip"],
)
def test_given_a_broken_answer_then_tried_again(answer: bytes, name: str) -> None:
    with RawServer(saying(answer)) as server, pytest.raises(CallFailed) as failed:
        get(server.url)
    assert (failed.value.name, failed.value.decision) == (name, Decision.RETRY)


def test_given_only_the_status_is_wanted_then_the_body_is_left_alone() -> None:
    with RawServer(dripping(OK + b"\r\n", b"x" * 65536, seconds=0)) as server:
        assert get(server.url, most=None).status == 200
        assert server.broken.wait(10)


def test_given_a_redirect_then_it_is_the_answer() -> None:
    with RawServer(
        saying(b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
    ) as server:
        assert get(server.url).status == 302


def test_given_a_tls_handshake_that_drips_then_broken_off() -> None:
    # A handshake record of 16 KiB, a byte at a time.
    with RawServer(dripping(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", b"\0")) as server:
        began = time.monotonic()
        with pytest.raises(CallFailed) as failed:
            get(server.url.replace("http:", "https:"), seconds=0.6)
        assert time.monotonic() - began < 5
        assert failed.value.name == "TooSlow"
