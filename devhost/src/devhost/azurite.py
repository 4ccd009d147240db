"""Azurite, the storage emulator, as a child process."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from devhost.errors import HostError
from devhost.ports import HOST
from devhost.settings import DEVELOPMENT_STORAGE

Ports = tuple[int, int, int]
DEFAULT_PORTS: Ports = (10000, 10001, 10002)
ACCOUNT = "devstoreaccount1"
# The emulator's one account has this key everywhere in the world; it is published in its documentation.
PUBLIC_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_START_SECONDS = 30


def is_listening(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def is_needed(environment: Mapping[str, str]) -> bool:
    """Whether a setting asks for development storage and nothing listens there yet."""
    asked = any(value.strip().rstrip(";") == DEVELOPMENT_STORAGE for value in environment.values())
    return asked and not is_listening(DEFAULT_PORTS[0])


def find_command(root: Path) -> str:
    """Path of the npm package's program, in the app's folder or on the PATH. Raises HostError."""
    local = root / "node_modules" / ".bin" / "azurite"
    command = str(local) if local.is_file() else shutil.which("azurite")
    if command is None:
        raise HostError(
            "the storage is UseDevelopmentStorage=true, nothing listens on port 10000,"
            " and Azurite is not installed: run `npm install azurite` in the app's folder"
        )
    return command


def connection_string(ports: Ports = DEFAULT_PORTS) -> str:
    """Connection string for the storage SDKs, with the emulator's published account and key."""
    services = zip(("Blob", "Queue", "Table"), ports, strict=True)
    endpoints = "".join(f"{name}Endpoint=http://{HOST}:{port}/{ACCOUNT};" for name, port in services)
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={PUBLIC_KEY};{endpoints}"


class Azurite:
    """A running emulator on three loopback ports: blobs, queues, tables.

    Data and log are kept in `folder`; with `in_memory` only the log. `log` is another file for it,
    `access_log` puts each call into it. `node_options` are Node's own, for which `command` must be a script.
    """

    def __init__(
        self,
        command: str,
        folder: Path,
        ports: Ports = DEFAULT_PORTS,
        *,
        in_memory: bool = False,
        log: Path | None = None,
        access_log: bool = False,
        node_options: Sequence[str] = (),
    ) -> None:
        self._command = ["node", *node_options, command] if node_options else [command]
        self._folder = folder
        self._ports = ports
        self._in_memory = in_memory
        self._log = log or folder / "azurite.log"
        self._access_log = access_log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def connection_string(self) -> str:
        return connection_string(self._ports)

    @property
    def pid(self) -> int:
        """The emulator's process. Raises HostError before it was started."""
        if self._process is None:
            raise HostError("Azurite was not started")
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until all three ports answer. Raises HostError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as output:
            # A session of its own: Ctrl-C reaches only the host, which stops the emulator after its drain.
            self._process = subprocess.Popen(  # noqa: S603 - the command found above
                [*self._command, *self._options()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        until = time.monotonic() + _START_SECONDS
        while not all(is_listening(port) for port in self._ports):
            if self._process is None or self._process.poll() is not None or time.monotonic() > until:
                raise HostError(f"Azurite did not start; see {self._log}")
            time.sleep(0.1)

    def _options(self) -> Iterator[str]:
        yield from ("--skipApiVersionCheck", "--disableTelemetry")
        yield from () if self._access_log else ("--silent",)
        for service, port in zip(("blob", "queue", "table"), self._ports, strict=True):
            yield from (f"--{service}Host", HOST, f"--{service}Port", str(port))
        yield from ("--inMemoryPersistence",) if self._in_memory else ("--location", str(self._folder))

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
