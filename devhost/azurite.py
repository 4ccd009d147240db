"""Storage on a developer's machine: what a connection setting means, and the Azurite child process."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from devhost.errors import HostError
from devhost.settings import DEVELOPMENT_STORAGE

BLOB_PORT = 10000
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_EMULATOR = (
    f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};"
    f"BlobEndpoint=http://127.0.0.1:10000/{_ACCOUNT};QueueEndpoint=http://127.0.0.1:10001/{_ACCOUNT};"
    f"TableEndpoint=http://127.0.0.1:10002/{_ACCOUNT};"
)
"""The emulator's account and key are published constants, the same everywhere."""
_START_SECONDS = 30
_OPTIONS: dict[str, Any] = {"connection_timeout": 3, "read_timeout": 60, "retry_total": 0}
"""The SDK's own retries sleep for 15 seconds and more; the triggers try again by themselves, much sooner."""


class ConnectionSettingError(ValueError):
    """A trigger's connection names no usable setting."""


def connection_string(name: str, environment: Mapping[str, str]) -> str | None:
    """The connection string a `connection` names: NAME, then AzureWebJobs + NAME."""
    text = environment.get(name) or environment.get(f"AzureWebJobs{name}")
    return _EMULATOR if text and text.strip().rstrip(";") == DEVELOPMENT_STORAGE else text


def _endpoint(name: str, kind: str, environment: Mapping[str, str]) -> str | None:
    for base in (name, f"AzureWebJobs{name}"):
        account = environment.get(f"{base}__accountName")
        found = environment.get(f"{base}__{kind}ServiceUri") or (
            kind == "blob" and environment.get(f"{base}__serviceUri")
        )
        if found:
            return str(found)
        if account:
            return f"https://{account}.{kind}.core.windows.net"
    return None


def _identity() -> Any:
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError as error:
        raise ConnectionSettingError("a connection by identity needs the package azure-identity") from error
    return DefaultAzureCredential()


def check_connection(name: str, environment: Mapping[str, str]) -> None:
    """Raises ConnectionSettingError when nothing is set under the name."""
    if not connection_string(name, environment) and not _endpoint(name, "blob", environment):
        raise ConnectionSettingError(f"the connection '{name}' is not set ({name} or {name}__blobServiceUri)")


def blob_service(name: str, environment: Mapping[str, str]) -> BlobServiceClient:
    text = connection_string(name, environment)
    if text:
        return BlobServiceClient.from_connection_string(text, **_OPTIONS)
    endpoint = _endpoint(name, "blob", environment)
    if endpoint is None:
        raise ConnectionSettingError(f"the connection '{name}' is not set")
    return BlobServiceClient(endpoint, credential=_identity(), **_OPTIONS)


def queue_service(name: str, environment: Mapping[str, str]) -> QueueServiceClient:
    text = connection_string(name, environment)
    if text:
        return QueueServiceClient.from_connection_string(text, **_OPTIONS)
    endpoint = _endpoint(name, "queue", environment)
    if endpoint is None:
        raise ConnectionSettingError(
            f"the connection '{name}' has no queue endpoint ({name}__queueServiceUri)"
        )
    return QueueServiceClient(endpoint, credential=_identity(), **_OPTIONS)


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
