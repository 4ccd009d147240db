"""Writing into somebody's container: where it goes, and what a refusal says."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mobexport.container_url import ContainerUrl
from mobexport.errors import Rejected
from mobexport.export_api.writer.target import write_file
from mobexport.storage import CHUNK

SAS = "sv=2024-11-04&sr=c&sp=cw&se=2999-01-01&sig=c2VjcmV0"


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
