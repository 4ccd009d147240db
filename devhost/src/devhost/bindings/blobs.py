"""The `blob` binding: a blob read before the run, or written after it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any

from azure.functions.meta import Datum

from devhost.bindings.expressions import Template, parse_template
from devhost.errors import BLOBS, IndexingError
from devhost.signatures import Binding
from devhost.storage import DEFAULT_CONNECTION, Storage

_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9](?:-?[a-z0-9])+|\$root|\$web|\$logs")


def check_container(name: str) -> None:
    """Raises IndexingError."""
    if not _CONTAINER.fullmatch(name):
        raise IndexingError(
            f"Invalid container name: {name} (3 to 63 lower-case letters, digits and single hyphens)", BLOBS
        )


class _Blob:
    def __init__(self, binding: Binding, path: str, storage: Storage) -> None:
        """`path` is the binding's, its settings resolved. Raises IndexingError."""
        self._connection = str(binding.get("connection") or DEFAULT_CONNECTION)
        self._storage = storage
        self._path: Template = parse_template(path)
        storage.check(self._connection, "blob")
        if not self._path.has_names:
            split_path(path)

    def _client(self, data: Mapping[str, Any]) -> Any:
        container, name = split_path(self._path.fill(data))
        return self._storage.blobs(self._connection).get_blob_client(container, name)


class BlobInput(_Blob):
    """Gives text unless the binding's data type is binary; nothing at all when there is no such blob."""

    def __init__(self, binding: Binding, path: str, storage: Storage) -> None:
        super().__init__(binding, path, storage)
        self._is_binary = str(binding.get("dataType", "")).upper() == "BINARY"

    def read(self, data: Mapping[str, Any]) -> Datum:
        """Raises ValueError for an expression without a value, AzureError."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            content = self._client(data).download_blob().readall()
        except ResourceNotFoundError:
            return Datum(None, None)
        if self._is_binary:
            return Datum(content, "bytes")
        return Datum(content.decode("utf-8-sig", "replace"), "string")


class BlobOutput(_Blob):
    """Replaces the blob; makes its container when there is none."""

    def write(self, value: Datum, data: Mapping[str, Any]) -> None:
        """Raises ValueError for an expression without a value, AzureError."""
        from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

        client = self._client(data)
        content = value.value if isinstance(value.value, bytes) else str(value.value).encode()
        try:
            client.upload_blob(content, overwrite=True)
        except ResourceNotFoundError:
            with contextlib.suppress(ResourceExistsError):  # another run was quicker
                self._storage.blobs(self._connection).create_container(client.container_name)
            client.upload_blob(content, overwrite=True)


def split_path(path: str) -> tuple[str, str]:
    """`container/blob`. Raises IndexingError."""
    container, _, name = path.partition("/")
    if not container or not name:
        raise IndexingError(
            f"Invalid blob path specified : '{path}'. Blob identifiers must be in the format"
            " 'container/blob'.",
            BLOBS,
        )
    check_container(container)
    return container, name
