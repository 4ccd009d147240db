"""The `queue` binding: messages sent after the run; and how message texts are encoded."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from azure.functions.meta import Datum

from devhost.bindings.expressions import Template, parse_template
from devhost.errors import QUEUES, IndexingError
from devhost.signatures import Binding
from devhost.storage import DEFAULT_CONNECTION, Storage

_NAME = re.compile(r"(?=.{3,63}\Z)[a-z0-9](?:-?[a-z0-9])+")


def check_queue_name(name: str) -> str:
    """In lower case, as the real host uses it. Raises IndexingError."""
    if not _NAME.fullmatch(name.lower()):
        raise IndexingError(
            f'A queue name can contain only letters, numbers, and and dash(-) characters - "{name}"'
            " (3 to 63 of them, no two dashes together)",
            QUEUES,
        )
    return name.lower()


class Encoding:
    """`extensions.queues.messageEncoding` of host.json: `base64` or `none`."""

    def __init__(self, name: str = "base64") -> None:
        self._is_base64 = name == "base64"

    def encode(self, content: bytes) -> str:
        return base64.b64encode(content).decode() if self._is_base64 else content.decode()

    def decode(self, text: str) -> bytes:
        """Raises ValueError for what is no base64."""
        if not self._is_base64:
            return text.encode()
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError(
                f"the message is not base64 ({error}); extensions.queues.messageEncoding in host.json can be"
                " none"
            ) from error


class QueueOutput:
    """One message, or one for each element of a JSON array; makes the queue when there is none."""

    def __init__(self, binding: Binding, name: str, storage: Storage, encoding: Encoding) -> None:
        """`name` is the queue's, its settings resolved. Raises IndexingError."""
        self._connection = str(binding.get("connection") or DEFAULT_CONNECTION)
        self._storage = storage
        self._encoding = encoding
        self._name: Template = parse_template(name)
        storage.check(self._connection, "queue")
        if not self._name.has_names:
            check_queue_name(name)

    def write(self, value: Datum, data: Mapping[str, Any]) -> None:
        """Raises ValueError for an expression without a value, AzureError."""
        name = check_queue_name(self._name.fill(data))
        for content in messages(value):
            send(self._storage, self._connection, name, self._encoding.encode(content))


def send(storage: Storage, connection: str, queue: str, text: str) -> None:
    """Add an encoded message, making the queue when there is none. Raises AzureError."""
    from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

    client = storage.queues(connection).get_queue_client(queue)
    try:
        client.send_message(text)
    except ResourceNotFoundError:
        with contextlib.suppress(ResourceExistsError):  # another run was quicker
            client.create_queue()
        client.send_message(text)


def messages(value: Datum) -> Iterator[bytes]:
    """What the host makes of an output: JSON arrays are split, JSON objects come out indented."""
    if isinstance(value.value, bytes):
        yield value.value
        return
    text = str(value.value)
    try:
        found = json.loads(text)
    except ValueError:
        found = text
    if isinstance(found, list):
        yield from (_message(item) for item in found)
    else:
        yield _message(found) if isinstance(found, dict) else text.encode()


def _message(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode()
    return json.dumps(item, ensure_ascii=False, indent=2).encode()
