"""Task hubs besides the app's own: there from the first call that names them, and nothing runs in them."""

from __future__ import annotations

import threading
from pathlib import Path

from devhost.durable.api import DurableApi
from devhost.durable.engine import Engine
from devhost.durable.store import Store


class OtherHubs:
    """APIs by hub; each has a file of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._apis: dict[str, DurableApi] = {}
        self._lock = threading.Lock()

    def api(self, hub: str) -> DurableApi:
        """API of a hub, made by the first call; names are case-insensitive."""
        with self._lock:
            if hub.lower() not in self._apis:
                store = Store(self._folder / f"hub-{hub.lower()}.sqlite")
                self._apis[hub.lower()] = DurableApi(Engine(store, {}, []), hub)
            return self._apis[hub.lower()]
