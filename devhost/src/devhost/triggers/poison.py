"""Poison queue of blob triggers, as the Storage extension writes it."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

from devhost.storage import Storage

QUEUE = "webjobs-blobtrigger-poison"


def send(storage: Storage, connection: str, message: dict[str, Any]) -> None:
    """Add a message, making the queue when there is none. Raises AzureError."""
    from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

    # The extension's own queues are always base64, whatever host.json says of the app's.
    text = base64.b64encode(json.dumps(message).encode()).decode()
    client = storage.queues(connection).get_queue_client(QUEUE)
    try:
        client.send_message(text)
    except ResourceNotFoundError:
        with contextlib.suppress(ResourceExistsError):  # another run was quicker
            client.create_queue()
        client.send_message(text)
