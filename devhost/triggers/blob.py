"""Runs a blob function for each new version of a blob that matches its path, by polling the container."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.functions.meta import Datum
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from devhost.azurite import blob_service, queue_service
from devhost.triggers.background import BackgroundTrigger

_log = logging.getLogger("devhost")
ATTEMPTS = 5
POISON_QUEUE = "webjobs-blobtrigger-poison"
_POLL_SECONDS = 0.7
_BACKOFF_MAX_SECONDS = 5.0
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}|\$root|\$web")


class ReceiptStore(Protocol):
    def blob_receipts(self, function: str, container: str) -> dict[str, str]: ...
    def save_blob_receipt(self, function: str, container: str, blob: str, etag: str) -> None: ...


@dataclass(frozen=True)
class BlobPath:
    """`container` or `container/pattern`; `{name}` in the pattern matches greedily."""

    container: str
    pattern: re.Pattern[str]
    prefix: str
    """The pattern's literal start: what the container is listed by."""

    def match(self, blob: str) -> dict[str, str] | None:
        found = self.pattern.fullmatch(blob)
        return None if found is None else found.groupdict()


def parse_path(text: str) -> BlobPath:
    """Read a path whose settings are resolved. Raises ValueError."""
    container, slash, pattern = text.partition("/")
    if not _CONTAINER.fullmatch(container) or (slash and not pattern):
        raise ValueError(f"Invalid blob trigger path '{text}'. Paths must be in the format 'container/blob'.")
    if not slash:
        return BlobPath(container, re.compile(".*", re.DOTALL), "")
    expression, seen = "", set()
    pieces = re.split(r"\{([^{}]*)\}", pattern)
    for index, piece in enumerate(pieces):
        if index % 2 == 0:
            if "{" in piece or "}" in piece:
                raise ValueError(f"Invalid blob trigger path '{text}': a brace is not closed.")
            expression += re.escape(piece)
        elif not piece.isidentifier() or piece in seen:
            raise ValueError(
                f"Invalid blob trigger path '{text}': '{{{piece}}}' is no name or stands there twice."
            )
        else:
            seen.add(piece)
            expression += f"(?P<{piece}>.+)"
    return BlobPath(container, re.compile(expression, re.DOTALL), pieces[0])


def blob_metadata(
    path: str, uri: str, properties: Mapping[str, Any], metadata: Mapping[str, str], values: Mapping[str, str]
) -> dict[str, Datum]:
    """The trigger metadata the blob converter of azure.functions reads."""
    return {
        **{name: Datum(value, "string") for name, value in values.items()},
        "BlobTrigger": Datum(path, "string"),
        "Uri": Datum(json.dumps(uri), "json"),
        "Properties": Datum(json.dumps(properties, default=str), "json"),
        "Metadata": Datum(json.dumps(dict(metadata)), "json"),
    }


class BlobTrigger(BackgroundTrigger):
    """`run(datum, metadata, reason)` runs the function and raises what it raises.

    A blob counts as done after a success, or after five failures, when it goes to the poison queue; a host
    killed in between runs it again.
    """

    def __init__(
        self,
        function: str,
        path: BlobPath,
        connection: str,
        store: ReceiptStore,
        run: Callable[[Datum, Mapping[str, Datum], str], None],
        environment: Mapping[str, str],
    ) -> None:
        super().__init__(f"devhost-blob-{function}")
        self._function = function
        self._path = path
        self._connection = connection
        self._environment = environment
        self._store = store
        self._run = run
        self._service: BlobServiceClient | None = None
        self._queues: QueueServiceClient | None = None
        self._receipts: dict[str, str] | None = None

    def _loop(self) -> None:
        pause, is_out = _POLL_SECONDS, False
        while not self._stopping.is_set():
            try:
                self.poll()
                if is_out:
                    _log.info("blob trigger '%s': storage answers again", self._function)
                pause, is_out = _POLL_SECONDS, False
            except Exception as error:
                if not is_out:
                    _log.warning(
                        "blob trigger '%s': storage does not answer, trying on: %s",
                        self._function,
                        _brief(error),
                    )
                pause, is_out = min(pause * 2, _BACKOFF_MAX_SECONDS), True
            self._stopping.wait(pause)

    def poll(self) -> None:
        """One look at the container; runs the function for what is new. Raises what the storage raises."""
        if self._service is None:
            self._service = blob_service(self._connection, self._environment)
        if self._receipts is None:
            self._receipts = self._store.blob_receipts(self._function, self._path.container)
        container = self._service.get_container_client(self._path.container)
        try:
            found = [
                (b.name, b.etag) for b in container.list_blobs(name_starts_with=self._path.prefix or None)
            ]
        except ResourceNotFoundError:
            return
        for name, etag in found:
            if self._stopping.is_set():
                return
            values = self._path.match(name)
            if values is not None and self._receipts.get(name) != etag:
                self._process(name, etag, values)

    def run_once(self, path: str, reason: str) -> None:
        """Run the function for `container/blob`, whatever its receipt says: how the admin API retriggers."""
        container, _, name = path.partition("/")
        service = self._service or blob_service(self._connection, self._environment)
        self._call(service, container, name, None, self._path.match(name) or {}, reason)

    def _call(
        self,
        service: BlobServiceClient,
        container: str,
        name: str,
        etag: str | None,
        values: Mapping[str, str],
        why: str,
    ) -> None:
        client = service.get_blob_client(container, name)
        if etag is not None:
            from azure.core import MatchConditions

            download = client.download_blob(etag=etag, match_condition=MatchConditions.IfNotModified)
        else:
            download = client.download_blob()
        data = download.readall()
        found = download.properties
        properties = {
            "ContentLength": len(data),
            "ETag": found.etag,
            "LastModified": found.last_modified.isoformat(),
            "ContentType": found.content_settings.content_type,
            "BlobType": str(getattr(found.blob_type, "value", found.blob_type)),
        }
        metadata = blob_metadata(f"{container}/{name}", client.url, properties, found.metadata or {}, values)
        try:
            self._run(Datum(data, "bytes"), metadata, why)
        except Exception as error:
            raise _FunctionFailedError from error

    def _process(self, name: str, etag: str, values: Mapping[str, str]) -> None:
        assert self._service is not None
        path = f"{self._path.container}/{name}"
        reason = f"New blob detected(LogsAndContainerScan): {path}"
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._call(self._service, self._path.container, name, etag, values, reason)
                break
            except _FunctionFailedError:
                _log.warning("blob '%s': attempt %d of %d failed", path, attempt, ATTEMPTS)
                if self._stopping.is_set():
                    return
            except HttpResponseError as error:
                if error.status_code in (404, 412):
                    return  # deleted or overwritten meanwhile: the next look sees what is there then
                raise
        else:
            self._poison(name, etag)
        assert self._receipts is not None
        self._store.save_blob_receipt(self._function, self._path.container, name, etag)
        self._receipts[name] = etag

    def _poison(self, name: str, etag: str) -> None:
        if self._queues is None:
            self._queues = queue_service(self._connection, self._environment)
        message = {
            "Type": "BlobTrigger",
            "FunctionId": f"Host.Functions.{self._function}",
            "BlobType": "BlockBlob",
            "ContainerName": self._path.container,
            "BlobName": name,
            "ETag": etag if etag.startswith('"') else f'"{etag}"',
        }
        queue = self._queues.get_queue_client(POISON_QUEUE)
        with contextlib.suppress(ResourceExistsError):
            queue.create_queue()
        queue.send_message(base64.b64encode(json.dumps(message).encode()).decode())
        _log.error(
            "blob '%s/%s' failed %d times: moved to queue %s",
            self._path.container,
            name,
            ATTEMPTS,
            POISON_QUEUE,
        )


class _FunctionFailedError(Exception):
    """The function raised, as opposed to the storage."""


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return (
        f"{type(error).__name__}: {text}" if isinstance(error, AzureError) or text else type(error).__name__
    )
