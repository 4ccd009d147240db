"""Azurite, the storage emulator, for the demo, `make start` and the tests: devhost's, on ports of its own."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from devhost import azurite
from devhost.azurite import ACCOUNT, PUBLIC_KEY
from devhost.errors import HostError
from localdev.processes import LOOPBACK, ROOT, StartError, free_ports, is_listening

__all__ = ["PUBLIC_KEY", "Azurite", "Ports", "missing"]

SCRIPT = ROOT / "node_modules" / ".bin" / "azurite"
TRIES = 3


def missing() -> str | None:
    """Why Azurite cannot be started here, or None."""
    if not SCRIPT.exists():
        return "Azurite is not installed (node_modules is absent): run `make setup`"
    if shutil.which("node") is None:
        return "Azurite needs Node.js, and there is no `node` on the PATH"
    return None


@dataclass(frozen=True)
class Ports:
    """The three ports of one Azurite."""

    blob: int
    queue: int
    table: int

    @classmethod
    def free(cls) -> Self:
        """Three ports nobody uses."""
        return cls(*free_ports(3))

    def all(self) -> tuple[int, int, int]:
        """As a sequence, in the order of the fields."""
        return self.blob, self.queue, self.table


class Azurite:
    """One running Azurite on the loopback interface; `stop` or the end of the `with` block ends it.

    `folder` keeps the data from one start to the next; without it all is in memory. `ports` are those to
    use (StartError when they are taken); without them any free ones. `access_log` puts each call into `log`,
    `node_options` are Node's own.
    """

    def __init__(
        self,
        log: Path,
        folder: Path | None = None,
        ports: Ports | None = None,
        *,
        access_log: bool = False,
        node_options: Sequence[str] = (),
    ) -> None:
        if reason := missing():
            raise StartError(reason)
        self.log = log
        self.folder = folder
        self._access_log = access_log
        self._node_options = node_options
        self.ports, self._running = self._start(ports)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def blob_endpoint(self) -> str:
        """The blob service's URL, account included, no slash at the end."""
        return self._endpoint(self.ports.blob)

    @property
    def queue_endpoint(self) -> str:
        """The queue service's URL."""
        return self._endpoint(self.ports.queue)

    @property
    def table_endpoint(self) -> str:
        """The table service's URL."""
        return self._endpoint(self.ports.table)

    @property
    def connection_string(self) -> str:
        """Connection string for the storage SDKs and the app's settings."""
        return self._running.connection_string

    @property
    def pid(self) -> int:
        """The emulator's process."""
        return self._running.pid

    def stop(self) -> None:
        """End the emulator; it writes what it keeps to its folder first."""
        self._running.stop()

    def _endpoint(self, port: int) -> str:
        return f"http://{LOOPBACK}:{port}/{ACCOUNT}"

    def _start(self, wanted: Ports | None) -> tuple[Ports, azurite.Azurite]:
        if wanted and (taken := [port for port in wanted.all() if is_listening(port)]):
            raise StartError(f"Azurite cannot have port {taken[0]}: something is listening there already")
        for left in reversed(range(TRIES)):
            ports = wanted or Ports.free()
            running = azurite.Azurite(
                str(SCRIPT),
                self.folder or self.log.parent,
                ports.all(),
                in_memory=self.folder is None,
                log=self.log,
                access_log=self._access_log,
                node_options=self._node_options,
            )
            try:
                running.start()
            except HostError as error:
                # A free port can be taken by someone else before Azurite has it: other ports, another try.
                if wanted is None and left:
                    continue
                raise StartError(str(error)) from None
            return ports, running
        raise AssertionError("the last try returns or raises")
