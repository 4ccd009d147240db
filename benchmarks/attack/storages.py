"""Storage that is away, slow or lies, by a proxy before the data account; and storage that loses things."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from benchmarks.attack.scenario import NotHeld, Scenario
from benchmarks.attack.stage import WELL, Stage
from devhost.azurite import connection_string
from localdev.azurite import Azurite
from localdev.processes import LOOPBACK

PEER = "Storage"
SECONDS = 8.0
"""Storage is away so long, in the middle of exports."""
CLOSING = b"Connection: close\r\nContent-Length: "
UNAVAILABLE = b"HTTP/1.1 503 Server Busy\r\nx-ms-error-code: ServerBusy\r\n" + CLOSING + b"0\r\n\r\n"
LIE = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n" + CLOSING + b"9\r\n\r\n<deep><x>"
MODES = {"busy": "is busy", "down": "is down", "slow": "is slow", "hang": "hangs", "lie": "lies"}


class StorageProxy:
    """`with` it: passes bytes on to the emulator's three services, by `mode`.

    `pass`; `slow`: each piece half a second late; `hang`: nothing is passed on; `down`: connections are
    closed; `busy`: 503; `lie`: 200 with half an answer.
    """

    def __init__(self, azurite: Azurite) -> None:
        self.mode = "pass"
        self._listeners = [(socket.create_server((LOOPBACK, 0)), port) for port in azurite.ports.all()]
        blob, queue, table = (int(one.getsockname()[1]) for one, _ in self._listeners)
        self.connection_string = connection_string((blob, queue, table))
        self._over = threading.Event()

    def __enter__(self) -> StorageProxy:
        for listener, port in self._listeners:
            threading.Thread(target=self._listen, args=(listener, port), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for listener, _port in self._listeners:
            listener.close()

    def _listen(self, listener: socket.socket, port: int) -> None:
        while not self._over.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client, port), daemon=True).start()

    def _carry(self, client: socket.socket, port: int) -> None:
        with (
            client,
            suppress(OSError),
            socket.create_connection((LOOPBACK, port), 5) as server,
            selectors.DefaultSelector() as ready,
        ):
            other = {client: server, server: client}
            for one in other:
                ready.register(one, selectors.EVENT_READ)
            while not self._over.is_set():
                for key, _ in ready.select(0.2):
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    data = source.recv(65536)
                    if not data or not self._pass(data, client, from_client=source is client):
                        return
                    other[source].sendall(data)

    def _pass(self, data: bytes, client: socket.socket, *, from_client: bool) -> bool:
        """Whether these bytes may go on; the connection ends if not."""
        while self.mode == "hang" and not self._over.is_set():
            time.sleep(0.1)
        if self.mode == "slow":
            time.sleep(0.5)
        if (
            self.mode in ("busy", "lie")
            and from_client
            and data[:3] in (b"GET", b"PUT", b"POS", b"DEL", b"HEA")
        ):
            client.sendall(UNAVAILABLE if self.mode == "busy" else LIE)
            return False
        return self.mode not in ("down", "busy", "lie")


def proxied(stage: Stage, proxy: StorageProxy, *, short: bool) -> Iterator[Scenario]:
    """Storage does something for a while, in the middle of three exports: they end well."""
    for mode in list(MODES)[: 2 if short else None]:

        def judge(mode: str = mode) -> None:
            exports = [stage.request(app) for app in ("healthy", "healthy", "healthy")]
            time.sleep(0.5)
            proxy.mode = mode
            try:
                time.sleep(SECONDS)
            finally:
                proxy.mode = "pass"
            for one in exports:
                stage.expect(one, WELL, 240)

        yield Scenario(PEER, MODES[mode], judge)


def deleted(stage: Stage, *, short: bool) -> Iterator[Scenario]:
    """What the app made is deleted under it, one thing after the other: the next export ends well."""
    storage = stage.storage

    def container(name: str) -> Callable[[], None]:
        # The emulator lets a name be used again at once; Azure after half a minute.
        return lambda: storage.blobs.delete_container(name)

    def table(name: str) -> Callable[[], None]:
        return lambda: storage.table(name).delete_table()

    things = {
        "the container exports": container("exports"),
        "the container curated": container("curated"),
        "the table exports": table("exports"),
        "the table exporttasks": table("exporttasks"),
        "the table secrets": table("secrets"),
        "the table steps": table("steps"),
    }
    for name in list(things)[:2] if short else things:

        def judge(delete: Callable[[], None] = things[name]) -> None:
            stage.healthy()
            delete()
            stage.healthy()

        yield Scenario(PEER, f"loses {name}", judge)

    def landing() -> None:
        export_id = stage.request("healthy")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for found in storage.blobs.list_containers(name_starts_with="landing-"):
                storage.blobs.delete_container(found["name"])
                stage.end(export_id, 240)
                return
            time.sleep(0.05)
        raise NotHeld("no landing container was seen")

    if not short:
        # An empty container is looked at for two minutes.
        yield Scenario(PEER, "loses a landing container", landing)


def leftovers(stage: Stage, peer: str) -> Scenario:
    """Failed attempts left no landing container; that of a success stays for a while, for late files."""

    def judge() -> None:
        _, answer = stage.ask("GET", "/api/exports?limit=200")
        kept = sum(one["state"] in ("Succeeded", "Empty") for one in answer["exports"])
        deadline = time.monotonic() + 20
        while (left := len(list(stage.storage.blobs.list_containers("landing-")))) > kept:
            if time.monotonic() > deadline:
                raise NotHeld(f"{left} landing containers are left of {kept} successes")
            time.sleep(1)

    return Scenario(peer, "no landing container of a failure is left", judge)
