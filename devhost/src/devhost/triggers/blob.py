"""Blob trigger: a run for each new version of a blob that matches its path.

Versions are found by listing the container, for both sources, since nobody sends events here. Written after
BlobListener, BlobQueueTriggerExecutor and BlobTriggerMessage of the Storage extension.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import unquote
from xml.etree import ElementTree

from devhost.errors import NoWorkerError
from devhost.invoker import CALLED, Call
from devhost.storage import Storage
from devhost.triggers import poison
from devhost.triggers.background import BackgroundTrigger
from devhost.triggers.blob_path import BlobPath, split_path
from devhost.worker.messages import Datum

_log = logging.getLogger("devhost")
_POLL_SECONDS = 0.7
_REST_PER_LISTING = 15
"""Seconds of rest per second of processor time of a listing: a few per cent of a core at most."""
_LONGEST_REST_SECONDS = 60.0
_BACKOFF_MAX_SECONDS = 5.0


class ReceiptStore(Protocol):
    def blob_receipts(self, function: str, container: str) -> dict[str, str]: ...
    def save_blob_receipt(self, function: str, container: str, blob: str, etag: str) -> None: ...


class BlobTrigger(BackgroundTrigger):
    """`run` runs the function and raises what it raises.

    A blob counts as done after a success, or after the last attempt, when it goes to the poison queue; a host
    killed in between runs it again.
    """

    def __init__(
        self,
        function: str,
        path: BlobPath,
        connection: str,
        storage: Storage,
        store: ReceiptStore,
        run: Callable[[Call], object],
        *,
        attempts: int = 5,
        parallel: int = 8,
        source: str = "LogsAndContainerScan",
    ) -> None:
        super().__init__(f"devhost-blob-{function}", parallel)
        self._function = function
        self._path = path
        self._connection = connection
        self._storage = storage
        self._store = store
        self._run = run
        self._attempts = attempts
        self._source = source
        self.arrived: Callable[[str, str], bool] = lambda _path, _etag: True
        """Whether the event of a version (`container/name`, ETag) has arrived; harsh mode delays it."""
        self._lock = threading.Lock()
        self._receipts: dict[str, str] | None = None
        """Version last processed, by blob name."""
        self._busy: set[str] = set()
        self._is_out = False

    def _loop(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.thread_time()
            try:
                found = self._listed()
                rest = (time.thread_time() - began) * _REST_PER_LISTING
                self._take(found)
                self._answers()
                failures, pause = 0, min(max(_POLL_SECONDS, rest), _LONGEST_REST_SECONDS)
            except Exception as error:
                self._does_not_answer(error)
                failures += 1
                pause = min(_POLL_SECONDS * 2**failures, _BACKOFF_MAX_SECONDS)
            self._stopping.wait(pause)

    def poll(self) -> None:
        """List the container once and begin to process new versions. Raises AzureError."""
        self._take(self._listed())

    def _listed(self) -> list[tuple[str, str]]:
        """Name and ETag of all blobs that match."""
        from azure.core.exceptions import ResourceNotFoundError

        found: list[tuple[str, str]] = []

        def page(response: Any) -> None:
            # Read from the XML as it came: of 10,000 blobs, the SDK's own objects take ten times the time.
            if response.http_response.status_code != 200:
                return
            for blob in ElementTree.fromstring(response.http_response.body()).iter("Blob"):  # noqa: S314 - ours
                element = blob.find("Name")
                assert element is not None
                name = element.text or ""
                name = unquote(name) if element.get("Encoded") == "true" else name
                if self._path.pattern.fullmatch(name):
                    found.append((name, blob.findtext("Properties/Etag") or ""))

        container = self._storage.blobs(self._connection).get_container_client(self._path.container)
        try:
            prefix = self._path.prefix or None
            for _ in container.list_blob_names(name_starts_with=prefix, raw_response_hook=page):
                pass
        except ResourceNotFoundError:
            return []
        return found

    def _take(self, found: list[tuple[str, str]]) -> None:
        for name, etag in found:
            if not self._notice(name, etag):
                return

    def _notice(self, name: str, etag: str) -> bool:
        """Process a version of a blob, unless that is done or under way; False when the host stops."""
        with self._lock:
            if self._receipts is None:
                self._receipts = self._store.blob_receipts(self._function, self._path.container)
            if self._receipts.get(name) == etag or name in self._busy:
                return True
            if not self.arrived(f"{self._path.container}/{name}", etag):
                return True
            self._busy.add(name)

        def work() -> None:
            try:
                self._process(name, etag)
            except Exception as error:
                self._does_not_answer(error)
            finally:
                with self._lock:
                    self._busy.discard(name)

        if self._submit(work):
            return True
        with self._lock:
            self._busy.discard(name)
        return False

    def run_by_hand(self, text: str | None) -> None:
        """Run the function for `container/blob`, whatever its receipt says."""
        container, name = split_path(text or "")
        self._run(self._call(container, name, None, CALLED))

    def _process(self, name: str, etag: str) -> None:
        from azure.core.exceptions import HttpResponseError

        path = f"{self._path.container}/{name}"
        reason = f"New blob detected({self._source}): {path}"
        for attempt in range(1, self._attempts + 1):
            if self._stopping.is_set():
                return
            try:
                call = self._call(self._path.container, name, etag, reason)
            except HttpResponseError as error:
                if error.status_code in (404, 412):
                    return  # deleted or overwritten meanwhile: the next look sees what is there then
                raise
            try:
                self._run(call)
                break
            except NoWorkerError:
                return  # the host ends; the next one finds the blob again
            except Exception:
                _log.warning("blob '%s': attempt %d of %d failed", path, attempt, self._attempts)
        else:
            self._poison(name, etag)
        self._store.save_blob_receipt(self._function, self._path.container, name, etag)
        with self._lock:
            assert self._receipts is not None
            self._receipts[name] = etag

    def _call(self, container: str, name: str, etag: str | None, reason: str) -> Call:
        """Call with the content of that version, or of the present one. Raises AzureError."""
        from azure.core import MatchConditions

        client = self._storage.blobs(self._connection).get_blob_client(container, name)
        condition: dict[str, Any] = (
            {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}
        )
        download = client.download_blob(**condition)
        data = download.readall()
        values = self._path.match(name) or {}
        metadata = blob_metadata(f"{container}/{name}", client.url, download.properties, values)
        created, modified = download.properties.creation_time, download.properties.last_modified
        details = {"BlobCreated": created.isoformat(), "BlobLastModified": modified.isoformat()}
        return Call(Datum(data, "bytes"), metadata, reason, details)

    def _poison(self, name: str, etag: str) -> None:
        message = {
            "Type": "BlobTrigger",
            "FunctionId": f"Host.Functions.{self._function}",
            "BlobType": "BlockBlob",
            "ContainerName": self._path.container,
            "BlobName": name,
            "ETag": etag if etag.startswith('"') else f'"{etag}"',
        }
        poison.send(self._storage, self._connection, message)
        _log.error(
            "Message has reached MaxDequeueCount of %d. Moving message to queue '%s' (blob %s/%s).",
            self._attempts,
            poison.QUEUE,
            self._path.container,
            name,
        )

    def _answers(self) -> None:
        if self._is_out:
            _log.info("blob trigger '%s': storage answers again", self._function)
        self._is_out = False

    def _does_not_answer(self, error: Exception) -> None:
        """Log the error once, not at each try."""
        if not self._is_out:
            where = self._storage.where(self._connection, "blob")
            _log.warning(
                "blob trigger '%s': %s does not answer as it should, trying on: %s",
                self._function,
                where,
                brief(error),
            )
        self._is_out = True


def blob_metadata(path: str, uri: str, found: Any, values: Mapping[str, str]) -> dict[str, Datum]:
    """The trigger metadata of a blob; `found` are the BlobProperties of the SDK, `values` of the pattern."""
    settings = found.content_settings
    properties = {
        "LastModified": found.last_modified.isoformat(),
        "CreatedOn": found.creation_time.isoformat(),
        "ContentLength": found.size,
        "ContentType": settings.content_type,
        "ContentEncoding": settings.content_encoding,
        "ContentLanguage": settings.content_language,
        "ContentDisposition": settings.content_disposition,
        "CacheControl": settings.cache_control,
        "ETag": found.etag,
        "BlobType": str(getattr(found.blob_type, "value", found.blob_type)),
    }
    return {
        **{name: Datum(value, "string") for name, value in values.items()},
        "BlobTrigger": Datum(path, "string"),
        "Uri": Datum(json.dumps(uri), "json"),
        "Properties": Datum(json.dumps(properties), "json"),
        "Metadata": Datum(json.dumps(dict(found.metadata or {})), "json"),
    }


def brief(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
