"""An Export API over real HTTP that misbehaves as it is told, and keeps what was asked of it: a test double.

It speaks the contract by itself, apart from the app's own server and client. `faults` are taken one a call,
in order; `None` means none. A job's states are shown one a poll, the last for ever, and its files are written
into the container when it is first shown as Succeeded.
"""

import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from localdev.processes import LOOPBACK

GOOD = ("Queued", "Started", "Succeeded")


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one call."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    """The answer comes so late."""
    drop: str = ""
    """`before`: the connection breaks before the call is done; `after`: it is done, and the answer lost;
    `body`: it breaks in the middle of the answer."""


DOWN = Fault(drop="before")
LOST = Fault(drop="after")
CUT = Fault(drop="body")
HTML = Fault(body=b"<html><body>Please log in</body></html>", headers={"Content-Type": "text/html"})
GARBAGE = Fault(body=b"\x00\xff{]")


@dataclass
class Job:
    """One export task of the double."""

    id: str
    description: str
    container_url: str
    route: str
    states: list[str]
    files: dict[str, bytes]
    error: str | None = None
    written: bool = False


class ScriptedExportApi:
    """`with ScriptedExportApi() as api: api.url`. New jobs get `states` and `files` as they are set then."""

    def __init__(self) -> None:
        self.states: tuple[str, ...] = GOOD
        self.files: dict[str, bytes] = {"Event-1.json": b"[]"}
        self.error: str | None = None
        self.jobs: list[Job] = []
        self.calls: list[str] = []
        self.callers: set[str] = set()
        """What stood in `Authorization`."""
        self.apps: set[str] = set()
        """The paths of the apps that were asked for, up to `/devices`."""
        self.most_open = 0
        """So many jobs at most had not ended when another one was created, that one included."""
        self.faults: list[Fault | None] = []
        self.create_faults: list[Fault | None] = []
        self.hide_newest = 0
        """So many lists leave out every job: they show late."""
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, job: Job, name: str, data: bytes) -> int:
        """Writes a file into the job's container by its SAS; the HTTP status."""
        base, _, sas = job.container_url.partition("?")
        headers = {"x-ms-blob-type": "BlockBlob", "Content-Length": str(len(data))}
        request = urllib.request.Request(f"{base}/{name}?{sas}", data, headers, method="PUT")
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                request, timeout=10
            ) as done:
                return int(done.status)
        except urllib.error.HTTPError as refused:
            return refused.code

    def _take(self, faults: list[Fault | None]) -> Fault | None:
        with self._lock:
            return faults.pop(0) if faults else None

    def _create(self, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            job = Job(
                f"job-{len(self.jobs) + 1:03}",
                str(body.get("description") or ""),
                str(body["containerUrl"]),
                route,
                list(self.states),
                dict(self.files),
                self.error,
            )
            self.jobs.append(job)
            self.most_open = max(self.most_open, sum(not one.written for one in self.jobs))
        return self._shown(job, "Queued")

    def _status(self, job: Job) -> dict[str, Any]:
        with self._lock:
            state = job.states.pop(0) if len(job.states) > 1 else job.states[0]
            write = state == "Succeeded" and not job.written
            job.written = job.written or write
        if write:
            for name, data in job.files.items():
                self.put(job, name, data)
        return self._shown(job, state)

    def _list(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        with self._lock:
            hidden = self.hide_newest > 0
            self.hide_newest -= hidden
            jobs = [] if hidden else self.jobs[::-1]
        skip, top = (int(query.get(name, [default])[0]) for name, default in (("$skip", "0"), ("$top", "20")))
        return {"value": [self._shown(job, job.states[0]) for job in jobs[skip : skip + top]]}

    @staticmethod
    def _shown(job: Job, state: str) -> dict[str, Any]:
        shown = {"id": job.id, "description": job.description, "state": state, "exportType": "Event"}
        if state == "Failed":
            shown["errorDetails"] = job.error or "it gave up"
        return {**shown, "dateCreated": "2026-11-24T00:00:00Z"}

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        parts = urlsplit(path)
        last = parts.path.rsplit("/", 1)[-1]
        if method == "POST":
            return 202, self._create(last, json.loads(body))
        if last == "exportTasks":
            return 200, self._list(parse_qs(parts.query))
        found = next((job for job in self.jobs if job.id == last), None)
        if found is None:
            return 404, {"error": {"code": "NotFound", "message": "no such task"}}
        return 200, self._status(found)

    def _handler(api) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's below
        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = urlsplit(self.path).path
                api.calls.append(f"{self.command} {path.rsplit('/', 1)[-1]}")
                api.callers.add(self.headers.get("Authorization", ""))
                api.apps.add(path.partition("/devices/")[0])
                fault = api._take(api.create_faults) if self.command == "POST" else None
                fault = fault or api._take(api.faults) or Fault()
                if fault.drop == "before":
                    return self._reset()
                if fault.status == 200 and not fault.body:
                    status, answer = api._answer(self.command, self.path, body)
                    text = json.dumps(answer).encode()
                else:
                    status, text = fault.status, fault.body
                time.sleep(fault.seconds)
                if fault.drop == "after":
                    return self._reset()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **fault.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text[: len(text) // 2] if fault.drop == "body" else text)
                return self._reset() if fault.drop == "body" else None

            do_GET = do_POST = _serve  # noqa: N815 - the base class's names

            def _reset(self) -> None:
                # Reset instead of a polite end, as a server that dies does it.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.wfile.flush()
                self.connection.close()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Quiet."""

            def handle(self) -> None:
                try:
                    super().handle()
                except (OSError, ValueError):
                    return  # the client is gone, or we closed the connection ourselves

        return Handler
