"""Azurite, the storage emulator, as the demo, `make start` and the tests start it."""

import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from localdev.processes import LOOPBACK, ROOT, Process, StartError, free_ports, is_listening, wait_until

ACCOUNT = "devstoreaccount1"
# The emulator's one account has this key everywhere in the world; it is published in its documentation.
PUBLIC_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SCRIPT = ROOT / "node_modules" / ".bin" / "azurite"
START_SECONDS = 30
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
    use (StartError when they are taken); without them any free ones. `access_log` puts each call into `log`.
    """

    def __init__(
        self,
        log: Path,
        folder: Path | None = None,
        ports: Ports | None = None,
        *,
        access_log: bool = False,
    ) -> None:
        if reason := missing():
            raise StartError(reason)
        self.log = log
        self.folder = folder
        self._access_log = access_log
        self.ports, self._process = self._start(ports)

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
        """What the storage SDKs and the app's settings want."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={PUBLIC_KEY};"
            f"BlobEndpoint={self.blob_endpoint};QueueEndpoint={self.queue_endpoint};"
            f"TableEndpoint={self.table_endpoint};"
        )

    @property
    def pid(self) -> int:
        """The emulator's process."""
        return self._process.pid

    def stop(self) -> None:
        """End the emulator; it writes what it keeps to its folder first."""
        self._process.stop()

    def _endpoint(self, port: int) -> str:
        return f"http://{LOOPBACK}:{port}/{ACCOUNT}"

    def _start(self, wanted: Ports | None) -> tuple[Ports, Process]:
        if wanted and (taken := [port for port in wanted.all() if is_listening(port)]):
            raise StartError(f"Azurite cannot have port {taken[0]}: something is listening there already")
        for left in reversed(range(TRIES)):
            ports = wanted or Ports.free()
            process = Process(
                _command(ports, self.folder, self._access_log), self.log, os.environ, cwd=self.log.parent
            )
            try:
                wait_until(partial(_answers, ports), process, "Azurite", START_SECONDS)
            except BaseException as error:
                process.stop()
                # A free port can be taken by someone else before Azurite has it: other ports, another try.
                if wanted is None and left and isinstance(error, StartError):
                    continue
                raise
            return ports, process
        raise AssertionError("the last try returns or raises")


def _answers(ports: Ports) -> bool:
    """Whether all three services are up, and are Azurite: any answer will do, its header tells whose."""
    for port in ports.all():
        try:
            answer = requests.get(f"http://{LOOPBACK}:{port}/", timeout=5)
        except requests.RequestException:
            return False
        if not answer.headers.get("Server", "").startswith("Azurite"):
            return False
    return True


def _command(ports: Ports, folder: Path | None, access_log: bool) -> list[str]:
    where = ["--inMemoryPersistence"] if folder is None else ["--location", str(folder)]
    hosts = [f"--{service}Host={LOOPBACK}" for service in ("blob", "queue", "table")]
    return [
        str(SCRIPT),
        *hosts,
        *(f"--blobPort={ports.blob}", f"--queuePort={ports.queue}", f"--tablePort={ports.table}"),
        *where,
        *(() if access_log else ("--silent",)),
        *("--skipApiVersionCheck", "--disableTelemetry"),
    ]
