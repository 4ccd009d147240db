"""Writing into somebody's container: where it goes, and what a refusal says."""

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from azure.core.exceptions import AzureError
from raw_server import RawServer, dripping

from mobexport.container_url import ContainerUrl
from mobexport.errors import Rejected
from mobexport.export_api.writer import target as target_module
from mobexport.export_api.writer.target import write_file
from mobexport.storage import CHUNK, known_error

SAS = "sv=2024-11-04&sr=c&sp=cw&se=2999-01-01&sig=c2VjcmV0"

BOMB = b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b" " * 50_000_000)


class Server(ThreadingHTTPServer):
    """Answers requests with `status` (and `location`) after some that are fine, and keeps their paths."""

    def __init__(self, status: int, location: str = "", fine: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.location, self.fine, self.seen = status, location, fine, list[str]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(self.path)
        fine = len(self.server.seen) <= self.server.fine
        self.send_response(201 if fine else self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator:
    running: list[Server] = []

    def start(status: int, location: str = "", fine: int = 0) -> Server:
        server = Server(status, location, fine)
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def target(server: Server) -> ContainerUrl:
    return ContainerUrl(f"{server.url}/landing-1?{SAS}", "127.0.0.1", "landing-1", can_overwrite=True)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_given_a_redirect_then_refused_and_nothing_is_sent_there(serve, tmp_path: Path, status: int) -> None:
    elsewhere = serve(201)
    first = serve(status, f"{elsewhere.url}/stolen?{SAS}")
    source = tmp_path / "file"
    source.write_bytes(b"[]")
    with pytest.raises(Rejected, match=f"redirect .HTTP {status}") as refused:
        write_file(source, target(first), "Event-1.json", "application/json")
    assert first.seen
    assert elsewhere.seen == []
    assert "sig" not in refused.value.message
    assert "stolen" not in refused.value.message


def test_given_a_refusal_when_written_then_the_reason_without_the_sas(serve, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"[]")
    with pytest.raises(Rejected, match=r"'landing-1' on 127\.0\.0\.1 refused .*HTTP 403") as refused:
        write_file(source, target(serve(403)), "Event-1.json", "application/json")
    assert "c2VjcmV0" not in refused.value.message


@pytest.mark.parametrize("fine", [0, 1, 2])
def test_given_a_refusal_after_some_blocks_then_nothing_is_committed(
    serve, tmp_path: Path, fine: int
) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"x" * (2 * CHUNK + 1))
    server = serve(403, fine=fine)
    with pytest.raises(Rejected):
        write_file(source, target(server), "Event-1.json", "application/json")
    assert len(server.seen) == fine + 1
    assert all("comp=block&" in path for path in server.seen), "a block alone is no part of a file"


@pytest.mark.parametrize("dripping", [False, True])
def test_given_a_container_that_hangs_then_the_call_ends(tmp_path: Path, monkeypatch, dripping: bool) -> None:
    monkeypatch.setattr(target_module, "_CALL_SECONDS", 0.5)
    source = tmp_path / "file"
    source.write_bytes(b"[]")
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()
        thread = threading.Thread(target=hang, args=[server, dripping, ended])
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/landing-1?{SAS}"
        container = ContainerUrl(url, "127.0.0.1", "landing-1", can_overwrite=True)
        try:
            with pytest.raises(AzureError) as error:
                write_file(source, container, "Event-1.json", "application/json")
        finally:
            ended.set()
            thread.join(20)
    known = known_error(error.value)
    assert known is not None
    assert known.retryable


@pytest.mark.parametrize("head", [b"HTTP/1.1 201 Created\r\n\r\n", b"HTTP/1.1 403 Forbidden\r\n\r\n", BOMB])
def test_given_a_container_whose_answer_never_ends_then_not_read_whole(tmp_path: Path, head: bytes) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"[]")
    with RawServer(dripping(head, b"x" * 65536, 0)) as server:
        url = f"{server.url}landing-1?{SAS}"
        container = ContainerUrl(url, "127.0.0.1", "landing-1", can_overwrite=True)
        with pytest.raises(AzureError) as error:
            write_file(source, container, "Event-1.json", "application/json")
        # What was sent and not read is in the sockets' buffers.
        assert server.broken.wait(10)
        assert server.sent < 20 * 1024 * 1024
    known = known_error(error.value)
    assert known is not None
    assert known.retryable


def hang(server: socket.socket, dripping: bool, ended: threading.Event) -> None:
    """Takes a connection and never answers whole."""
    connection, _ = server.accept()
    with connection:
        drops = iter(b"HTTP/1.1 201 Created\r\nx: " + b"x" * 200)
        while not ended.wait(0.05):
            with suppress(OSError):
                connection.sendall(bytes([next(drops)]) if dripping else b"")
