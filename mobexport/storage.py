"""The data account: clients, names of its tables, and write-only SAS for landing containers.

The Azure SDK is imported here and nowhere at start-up: `triggers` and `activities` import this module
inside their functions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.blob import (
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    ContentSettings,
    generate_container_sas,
)

from mobexport.blob_labels import README, READMES, Labels
from mobexport.blob_paths import EXPORTS_CONTAINER, LANDING_PREFIX, WORK_PREFIX
from mobexport.errors import ConfigError, DataError, MobexportError, SourceChanged, Transient
from mobexport.failure_policy import Decision, Peer, as_error, on_exception, on_status
from mobexport.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from azure.data.tables import TableClient, TableServiceClient
    from azure.storage.queue import QueueClient, QueueServiceClient

EXPORTS_TABLE: Final = "exports"
TASKS_TABLE: Final = "exporttasks"
SECRETS_TABLE: Final = "secrets"
STEPS_TABLE: Final = "steps"
SIGNED_CALLS_TABLE: Final = "signedcalls"

AZURITE: Final = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;"
)
"""Meaning of `UseDevelopmentStorage=true`; the key is the emulator's published one."""

# ETags of no version, in the form of each service.
_NO_BLOB: Final = '"0x8D0000000000000"'
_NO_ROW: Final = "W/\"datetime'2000-01-01T00%3A00%3A00.0000000Z'\""
_DELETED: Final = frozenset(
    f"{kind}{what}" for kind in ("Container", "Queue", "Table") for what in ("NotFound", "BeingDeleted")
)
CHUNK: Final = 4 * 1024 * 1024
NDJSON: Final = "application/x-ndjson"
PARQUET: Final = "application/vnd.apache.parquet"
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class RawBlob:
    """One blob as a plan fixes it: name below its container, ETag, size in bytes as it is stored."""

    name: str
    etag: str
    size: int
    encoding: str = ""
    """Its Content-Encoding: `gzip` where the uploader said so, whatever the name."""

    def to_json(self) -> dict[str, Any]:
        encoding = {"encoding": self.encoding} if self.encoding else {}
        return {"name": self.name, "etag": self.etag, "size": self.size, **encoding}


@dataclass(frozen=True)
class StoredBlob:
    """One blob as a listing shows it, with the time of its last change in UTC."""

    name: str
    modified: datetime


class DataStorage:
    """Clients of the data account, made at first use and kept: they hold the connections."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def _connection(self) -> str | None:
        if self.settings.data_storage is None:
            return None
        value = self.settings.data_storage.get_secret_value()
        return AZURITE if value.strip().lower().startswith("usedevelopmentstorage=true") else value

    @cached_property
    def _credential(self) -> Any:
        from azure.identity import DefaultAzureCredential

        client_id = self.settings.data_storage_client_id
        return (
            DefaultAzureCredential(managed_identity_client_id=client_id)
            if client_id
            else (DefaultAzureCredential())
        )

    @property
    def has_key(self) -> bool:
        """Whether a connection string opens the account, not an identity."""
        return self._connection is not None

    def token(self) -> str:
        """A bearer token of this app's identity for the account; kept, and renewed before it expires."""
        return str(self._credential.get_token("https://storage.azure.com/.default").token)

    @cached_property
    def blobs(self) -> BlobServiceClient:
        # Retries are short: activities are retried by durable timers, not by waiting in the worker.
        options: dict[str, Any] = {
            "retry_total": 2,
            "connection_timeout": 10,
            "max_single_get_size": CHUNK,
            "max_chunk_get_size": CHUNK,
            "raw_response_hook": self._look,
        }
        try:
            if self._connection:
                return BlobServiceClient.from_connection_string(self._connection, **options)
            return BlobServiceClient(str(self.settings.data_storage_blob_uri), self._credential, **options)
        except ValueError:
            raise ConfigError("DATA_STORAGE: this is not a storage connection string") from None

    @cached_property
    def _queues(self) -> QueueServiceClient:
        from azure.storage.queue import QueueServiceClient

        if self._connection:
            return QueueServiceClient.from_connection_string(self._connection, raw_response_hook=self._look)
        return QueueServiceClient(
            str(self.settings.data_storage_queue_uri), self._credential, raw_response_hook=self._look
        )

    @cached_property
    def _tables(self) -> TableServiceClient:
        from azure.data.tables import TableServiceClient

        if self._connection:
            return TableServiceClient.from_connection_string(self._connection, raw_response_hook=self._look)
        return TableServiceClient(
            endpoint=str(self.settings.data_storage_table_uri),
            credential=self._credential,
            raw_response_hook=self._look,
        )

    def container(self, name: str, *, create: bool = True) -> ContainerClient:
        """A container of the data account, made if it is not there."""
        client = self.blobs.get_container_client(name)
        if create:
            self._make(name, lambda: _create(client.create_container) and self.write_readme(name))
        return client

    def write_readme(self, container: str) -> bool:
        """Says in a container of ours what lies there, unless something of that name does; whether it did.

        Only people read it: where it cannot be written, what needs the container goes on.
        """
        text = READMES.get(container)
        if text is None:
            return False
        blob = self.blobs.get_container_client(container).get_blob_client(README)
        try:
            blob.upload_blob(text.encode(), content_settings=ContentSettings(content_type=_TEXT))
        except AzureError:
            return False
        return True

    def table(self, name: str) -> TableClient:
        """A table of the data account, made if it is not there."""
        self._make(f"table:{name}", lambda: self._tables.create_table_if_not_exists(name))
        return self._tables.get_table_client(name)

    def ping(self, seconds: float) -> None:
        """Asks blobs and tables once for something small; raises whatever is wrong with them."""
        self.ping_blobs(seconds)
        self.ping_tables(seconds)

    def ping_blobs(self, seconds: float) -> None:
        """Whether blobs can be read; raises what is wrong with them."""
        self.blobs.get_container_client(EXPORTS_CONTAINER).exists(**_once(seconds))

    def ping_tables(self, seconds: float) -> None:
        """Whether tables can be read; raises what is wrong with them."""
        with suppress(ResourceNotFoundError):
            self._tables.get_table_client(EXPORTS_TABLE).get_entity("none", "none", **_once(seconds))

    def ping_writes(self, seconds: float) -> None:
        """Asks blobs and tables whether they may be written; raises what `ping` does.

        Nothing is: the condition of each write is never true, and who may not write hears of that first.
        """
        from azure.data.tables import UpdateMode

        once = _once(seconds)
        once["match_condition"] = MatchConditions.IfNotModified
        blob = self.blobs.get_container_client(EXPORTS_CONTAINER).get_blob_client(".rights")
        table = self._tables.get_table_client(EXPORTS_TABLE)
        entity = {"PartitionKey": "none", "RowKey": "none"}
        writes: tuple[Callable[[], Any], ...] = (
            lambda: blob.upload_blob(b"", overwrite=True, etag=_NO_BLOB, **once),
            lambda: table.update_entity(entity, mode=UpdateMode.REPLACE, etag=_NO_ROW, **once),
        )
        for write in writes:
            try:
                write()
            except HttpResponseError as error:
                if error.status_code not in (404, 412):
                    raise

    def queue(self, name: str) -> QueueClient:
        """A queue of the data account, made if it is not there."""
        client = self._queues.get_queue_client(name)
        self._make(f"queue:{name}", lambda: _create(client.create_queue))
        return client

    def _make(self, key: str, make: Callable[[], Any]) -> None:
        """Asks storage to make it, once: until storage says that something is gone."""
        if key not in self._made:
            make()
            self._made.add(key)

    def _look(self, answer: Any) -> None:
        """Forgets what was made once storage says that something is gone: the next try makes it again."""
        response = answer.http_response
        if response.status_code in (404, 409) and response.headers.get("x-ms-error-code") in _DELETED:
            self._made.clear()

    @cached_property
    def _made(self) -> set[str]:
        return set()

    def container_write_url(self, name: str, lifetime: timedelta) -> str:
        """URL of a container with a SAS that can create and write blobs, nothing else.

        Signed with the account key where there is one (Azurite), else with a user-delegation key.
        """
        now = datetime.now(UTC)
        start, expiry = now - timedelta(minutes=15), now + lifetime
        account = str(self.blobs.account_name)
        key = getattr(self.blobs.credential, "account_key", None)
        signer: dict[str, Any] = (
            {"account_key": key}
            if key
            else {"user_delegation_key": self.blobs.get_user_delegation_key(start, expiry)}
        )
        sas = generate_container_sas(
            account,
            name,
            permission=ContainerSasPermissions(create=True, write=True),
            start=start,
            expiry=expiry,
            **signer,
        )
        return f"{self.blobs.get_container_client(name).url}?{sas}"

    def delete_container(self, name: str) -> None:
        """Deletes a container with all that is in it; nothing if it is gone already."""
        self._made.discard(name)
        try:
            self.blobs.get_container_client(name).delete_container()
        except ResourceNotFoundError:
            return

    def list_blobs(self, container: str, prefix: str = "") -> Iterator[RawBlob]:
        """Blobs below `prefix` by name, without markers of folders; nothing if there is no such container."""
        client = self.container(container, create=False)
        try:
            for item in client.list_blobs(name_starts_with=prefix, include=["metadata"]):
                if (item.metadata or {}).get("hdi_isfolder") != "true":
                    encoding = str(item.content_settings.content_encoding or "").lower()
                    etag = f'"{str(item.etag).strip(chr(34))}"'
                    yield RawBlob(item.name, etag, int(item.size), encoding)
        except ResourceNotFoundError:
            return

    def list_folders(self, container: str, prefix: str = "") -> Iterator[str]:
        """Names of what lies right below a prefix, folders with `/` at the end; no markers of folders."""
        try:
            for item in self.container(container, create=False).walk_blobs(prefix, include=["metadata"]):
                is_marker = (getattr(item, "metadata", None) or {}).get("hdi_isfolder") == "true"
                if not is_marker:
                    yield str(item.name).removeprefix(prefix)
        except ResourceNotFoundError:
            return

    def list_stored(self, container: str, prefix: str = "") -> Iterator[StoredBlob]:
        """Blobs below `prefix` by name, with their times; nothing if there is no such container."""
        try:
            for item in self.container(container, create=False).list_blobs(name_starts_with=prefix):
                yield StoredBlob(str(item.name), item.last_modified)
        except ResourceNotFoundError:
            return

    def list_containers(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        """Names of containers that begin so, with the time of their last change in UTC."""
        for item in self.blobs.list_containers(name_starts_with=prefix):
            yield str(item.name), item.last_modified

    def delete_blob(self, container: str, name: str) -> None:
        """Deletes a blob; nothing if it is gone already."""
        try:
            self.container(container, create=False).delete_blob(name)
        except ResourceNotFoundError:
            return

    def copy_blob(
        self, source: str, blob: RawBlob, target: str, name: str, labels: Labels | None = None
    ) -> bool:
        """Copies exactly that version of a blob within the account, server-side, unless `name` is there.

        Returns whether the copy is complete; False means: ask again. Raises SourceChanged if the source
        was replaced, Transient if the copy failed (a repetition starts it anew).
        """
        copied = self.container(target).get_blob_client(name)
        original = self.container(source, create=False).get_blob_client(blob.name)
        try:
            started = copied.start_copy_from_url(
                original.url,
                metadata=dict(labels) if labels else None,
                source_etag=blob.etag,
                source_match_condition=MatchConditions.IfNotModified,
                match_condition=MatchConditions.IfMissing,
            )
            if started.get("copy_status") == "success":
                return True
        except ResourceExistsError:
            pass
        except HttpResponseError as error:
            if error.status_code == 412:
                raise SourceChanged(f"{source}/{blob.name} was replaced while it was copied") from None
            raise
        found = copied.get_blob_properties()
        if found.copy.status in ("failed", "aborted"):
            copied.delete_blob()
            raise Transient(f"the server-side copy of {blob.name} ended as {found.copy.status}")
        return found.copy.status in (None, "success") and found.size == blob.size

    def read_chunks(self, container: str, blob: RawBlob, first: int = 0) -> Iterator[bytes]:
        """The bytes of exactly that version of a blob as they are stored, from `first` on, 4 MiB at a time.

        Raises SourceChanged if it was replaced or deleted since.
        """
        client = self.container(container, create=False).get_blob_client(blob.name)
        if blob.size <= first:
            return
        try:
            stream = client.download_blob(
                first or None,
                etag=blob.etag,
                match_condition=MatchConditions.IfNotModified,
                max_concurrency=1,
                # With Content-Encoding the SDK would unpack the first range alone, and lose the others.
                decompress=False,
            )
            yield from ahead(stream.chunks())
        except HttpResponseError as error:
            if error.status_code in (404, 412):
                what = "deleted" if error.status_code == 404 else "replaced"
                raise SourceChanged(f"{container}/{blob.name} was {what} while it was read") from None
            raise

    def read_json(self, container: str, name: str) -> Any:
        """A small JSON blob, or None if there is none. Raises DataError."""
        found = self.read_json_etag(container, name)
        return found[0] if found else None

    def read_json_etag(self, container: str, name: str) -> tuple[Any, str] | None:
        """A small JSON blob with its ETag, or None if there is none. Raises DataError."""
        client = self.container(container, create=False).get_blob_client(name)
        try:
            stream = client.download_blob()
            return json.loads(stream.readall()), str(stream.properties.etag)
        except ResourceNotFoundError:
            return None
        except (ValueError, RecursionError):
            raise DataError(
                f"{container}/{name} is no JSON: somebody changed it", code="WrongBookkeeping"
            ) from None

    def upload_file(
        self, container: str, name: str, source: Path, content_type: str, labels: Labels | None = None
    ) -> None:
        """Writes a local file as a blob, over what may be there from a repeated step."""
        client = self.container(container).get_blob_client(name)
        with source.open("rb") as data:
            client.upload_blob(
                data,
                overwrite=True,
                content_settings=ContentSettings(content_type=content_type),
                metadata=dict(labels) if labels else None,
            )

    def write_json(
        self,
        container: str,
        name: str,
        value: Any,
        *,
        etag: str | None = None,
        labels: Labels | None = None,
    ) -> bool:
        """Writes a small JSON blob whole: only if absent, or with `etag` only over that version.

        Returns whether it was written; False means that somebody else was first.
        """
        condition: dict[str, Any] = (
            {} if etag is None else {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        )
        body = json.dumps(value, ensure_ascii=False, indent=1).encode()
        settings = ContentSettings(content_type="application/json")
        client = self.container(container).get_blob_client(name)
        try:
            client.upload_blob(
                body,
                overwrite=etag is not None,
                content_settings=settings,
                metadata=dict(labels) if labels else None,
                **condition,
            )
        except HttpResponseError as error:
            if error.status_code in (409, 412):
                return False
            raise
        return True


def ahead(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks, each fetched while the one before it is used."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, chunks, None)
        while (chunk := following.result()) is not None:
            following = pool.submit(next, chunks, None)
            yield chunk


def replace_row(table: TableClient, entity: dict[str, Any], etag: str) -> str | None:
    """Writes a row over exactly that version of it; its new ETag, or None if somebody else was faster."""
    from azure.data.tables import UpdateMode

    try:
        written = table.update_entity(
            entity, mode=UpdateMode.REPLACE, etag=etag, match_condition=MatchConditions.IfNotModified
        )
    except HttpResponseError as error:
        if error.status_code == 412:
            return None
        raise
    return str(written["etag"])


def _once(seconds: float) -> dict[str, Any]:
    """Options of a call that is not tried again."""
    return {"retry_total": 0, "connection_timeout": seconds, "read_timeout": seconds}


def _create(create: Any) -> bool:
    """Whether it was made; it may be there."""
    try:
        create()
    except ResourceExistsError:
        return False
    return True


def _deleted(error: Exception) -> bool:
    """Whether something of ours that is made when it is missing was deleted by somebody else."""
    response = getattr(error, "response", None)
    # Of a table the SDK does not always read the code into the error; a transaction's is only there.
    code = getattr(response, "headers", {}).get("x-ms-error-code") or getattr(error, "error_code", None)
    url = str(getattr(getattr(response, "request", None), "url", ""))
    ours = not any(f"/{prefix}" in url for prefix in (LANDING_PREFIX, WORK_PREFIX))
    return ours and code in _DELETED


def known_error(error: Exception) -> MobexportError | None:
    """An expected failure, with storage's as this app's errors; None for what only a change of code mends."""
    if isinstance(error, MobexportError):
        return error
    status = getattr(error, "status_code", None)
    if _deleted(error):
        return Transient(
            "DATA_STORAGE: a container, table or queue was deleted; it is made again", status=status
        )
    if isinstance(error, HttpResponseError) and status:
        decision = on_status(status, Peer.STORAGE)
        message = f"storage answered HTTP {status}"
    elif isinstance(error, AzureError) and (found := on_exception(error)) is not None:
        decision, message = found, f"DATA_STORAGE: storage cannot be reached ({type(error).__name__})"
    else:
        return None
    if decision is Decision.CONFIGURE:
        message = f"DATA_STORAGE: {message}; may this app's identity use the account?"
    return None if decision is Decision.FAIL else as_error(decision, message, status=status)
