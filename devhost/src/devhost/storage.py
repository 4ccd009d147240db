"""Storage accounts by connection name: settings, checks and clients."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from devhost import azurite
from devhost.errors import BLOBS, QUEUES, IndexingError
from devhost.settings import DEVELOPMENT_STORAGE

if TYPE_CHECKING:  # imported when first used, so that a host starts without waiting for them
    from azure.storage.blob import BlobServiceClient
    from azure.storage.queue import QueueServiceClient

DEFAULT_CONNECTION = "AzureWebJobsStorage"
_OPTIONS: dict[str, Any] = {"connection_timeout": 3, "read_timeout": 60, "retry_total": 0}
"""No retries of the SDK's own, which sleep 15 seconds and more: the triggers try again much sooner."""
_SOURCES = {"blob": BLOBS, "queue": QUEUES}


class Storage:
    """Clients by connection name, made at their first use. Thread-safe."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def blobs(self, connection: str) -> BlobServiceClient:
        """Raises IndexingError when the setting is missing or of no use."""
        from azure.storage.blob import BlobServiceClient

        client: BlobServiceClient = self._client(connection, "blob", BlobServiceClient)
        return client

    def queues(self, connection: str) -> QueueServiceClient:
        """Raises IndexingError when the setting is missing or of no use."""
        from azure.storage.queue import QueueServiceClient

        client: QueueServiceClient = self._client(connection, "queue", QueueServiceClient)
        return client

    def check(self, connection: str, kind: str) -> None:
        """Check a connection's settings without a call; `kind` is blob or queue. Raises IndexingError."""
        text = connection_string(connection, self._environment)
        if text is None:
            if _endpoint(connection, kind, self._environment) is None:
                raise IndexingError(
                    f"Storage account connection string 'AzureWebJobs{connection}' does not exist."
                    f" Make sure that it is a defined App Setting. (devhost looked for {connection},"
                    f" AzureWebJobs{connection} and {connection}__{kind}ServiceUri.)",
                    _SOURCES[kind],
                )
        elif not {"AccountName", "SharedAccessSignature"} & _parts(text).keys():
            raise IndexingError(
                f"the setting {connection} holds no connection string of a storage account"
                f" (AccountName=…;AccountKey=…, or {DEVELOPMENT_STORAGE})",
                _SOURCES[kind],
            )

    def where(self, connection: str, kind: str) -> str:
        """Setting and address of a connection, for messages; no secrets."""
        text = connection_string(connection, self._environment)
        parts = _parts(text or "")
        address = parts.get(f"{kind.capitalize()}Endpoint") or _endpoint(connection, kind, self._environment)
        if text and not address:
            suffix = parts.get("EndpointSuffix", "core.windows.net")
            address = f"https://{parts.get('AccountName')}.{kind}.{suffix}"
        return f"the storage of setting {connection} ({address})"

    def _client(self, connection: str, kind: str, make: Any) -> Any:
        with self._lock:
            if (connection, kind) not in self._clients:
                self.check(connection, kind)
                text = connection_string(connection, self._environment)
                self._clients[connection, kind] = (
                    make.from_connection_string(text, **_OPTIONS)
                    if text
                    else make(
                        _endpoint(connection, kind, self._environment), credential=_identity(), **_OPTIONS
                    )
                )
            return self._clients[connection, kind]


def connection_string(name: str, environment: Mapping[str, str]) -> str | None:
    """Connection string by name: AzureWebJobs + NAME before NAME, `ConnectionStrings` before settings."""
    for key in (f"AzureWebJobs{name}", name):
        text = environment.get(f"ConnectionStrings:{key}") or environment.get(key)
        if text:
            return azurite.connection_string() if text.strip().rstrip(";") == DEVELOPMENT_STORAGE else text
    return None


def _parts(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {key.strip(): value for key, _, value in pairs}


def _endpoint(name: str, kind: str, environment: Mapping[str, str]) -> str | None:
    """Address of a connection by identity."""
    for base in (f"AzureWebJobs{name}", name):
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
        raise IndexingError("a connection by identity needs the package azure-identity") from error
    return DefaultAzureCredential()
