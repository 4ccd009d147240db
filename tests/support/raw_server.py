"""A server that sends the bytes it is told to, piece by piece, and may never end: a hostile peer."""

import socket
import threading
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Self

Pieces = Iterator[tuple[float, bytes]]


class RawServer:
    """`with RawServer(script) as server: server.url`. A call's `script()` gives (seconds to wait, bytes)."""

    def __init__(self, script: Callable[[], Pieces]) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.sent = 0
        """Bytes that were taken from the server so far."""
        self.broken = threading.Event()
        """Set when a caller has gone away in the middle."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(20)
            try:
                connection.recv(65536)
                for seconds, data in self._script():
                    if self._over.wait(seconds):
                        return
                    connection.sendall(data)
                    self.sent += len(data)
            except OSError:
                self.broken.set()


def dripping(head: bytes, drop: bytes, seconds: float = 0.05) -> Callable[[], Pieces]:
    """`head` at once, then a drop every so often, for ever."""

    def script() -> Pieces:
        yield 0, head
        yield from repeat((seconds, drop))

    return script


def saying(*pieces: bytes) -> Callable[[], Pieces]:
    """These bytes, then the end of the connection."""
    return lambda: ((0.0, piece) for piece in pieces)
