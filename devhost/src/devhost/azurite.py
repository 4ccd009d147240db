"""Azurite, the storage emulator, as a child process: whether it is needed, its start and its end."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from devhost.errors import HostError
from devhost.settings import DEVELOPMENT_STORAGE

BLOB_PORT = 10000
_START_SECONDS = 30


def is_listening(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_needed(environment: Mapping[str, str]) -> bool:
    """Some setting asks for development storage, and nothing listens there yet."""
    asked = any(value.strip().rstrip(";") == DEVELOPMENT_STORAGE for value in environment.values())
    return asked and not is_listening(BLOB_PORT)


def find_command(root: Path) -> str:
    """Raises HostError when the npm package is not there."""
    local = root / "node_modules" / ".bin" / "azurite"
    command = str(local) if local.is_file() else shutil.which("azurite")
    if command is None:
        raise HostError(
            "the storage is UseDevelopmentStorage=true, nothing listens on port 10000,"
            " and Azurite is not installed: run `npm install azurite` in the app's folder"
        )
    return command


class Azurite:
    """The emulator as a child; its data stay in the state folder."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._command = find_command(root)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it listens. Raises HostError when it does not come up."""
        self._folder.mkdir(parents=True, exist_ok=True)
        hosts = [word for kind in ("blob", "queue", "table") for word in (f"--{kind}Host", "127.0.0.1")]
        flags = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        log = self._folder / "azurite.log"
        with log.open("ab") as output:
            # A session of its own: Ctrl-C reaches only the host, which stops the emulator after its drain.
            self._process = subprocess.Popen(  # noqa: S603 - the command found above
                [self._command, *flags, *hosts, "--location", str(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        until = time.monotonic() + _START_SECONDS
        while not all(is_listening(BLOB_PORT + i) for i in range(3)):
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise HostError(f"Azurite did not start; see {log}")
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
