"""`/runtime/webhooks/eventgrid` and `/runtime/webhooks/blobs`: where Event Grid would send its events."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlsplit

from devhost.triggers.background import Trigger
from devhost.triggers.blob import BlobTrigger
from devhost.triggers.event_grid import Answer, Event, EventGridTrigger, receive

_log = logging.getLogger("devhost")
BASE = "/runtime/webhooks/"


class Webhooks:
    """`triggers` by function name."""

    def __init__(self, triggers: Mapping[str, Trigger]) -> None:
        self._triggers = triggers

    def handle(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """`path` is what follows BASE; header names in lower case."""
        name = query.get("functionName", "")
        match path.strip("/").lower():
            case "eventgrid":
                trigger = self._triggers.get(name)
                if not isinstance(trigger, EventGridTrigger):
                    return Answer(404, f"cannot find function: '{name}'")
                return receive(method, headers, body, trigger.deliver)
            case "blobs":
                return receive(method, headers, body, lambda events: self._blob_events(name, events))
        return Answer(404)

    def _blob_events(self, name: str, events: Sequence[Event]) -> Answer:
        """202 at once, as from the real host, which only puts the events into a queue."""
        trigger = self._triggers.get(name.removeprefix("Host.Functions."))
        if not isinstance(trigger, BlobTrigger):
            _log.warning(
                "blob events for '%s': there is no blob function Host.Functions.… of that name", name
            )
            return Answer(202)
        for event in events:
            data = event.get("data")
            url = data.get("url") if isinstance(data, dict) else None
            if not isinstance(data, dict) or not isinstance(url, str):
                return Answer(500, "the event has no data.url")
            container, blob = _blob_of(url)
            try:
                trigger.event(container, blob, str(data.get("eTag") or "").strip('"'))
            except Exception as error:
                _log.warning("blob event of %s for '%s': %s: %s", url, name, type(error).__name__, error)
        return Answer(202)


def _blob_of(url: str) -> tuple[str, str]:
    """Container and name; an emulator has the account's name in the path as well."""
    parts = urlsplit(url)
    path = parts.path.lstrip("/")
    if _is_emulator(parts.hostname or ""):
        path = path.partition("/")[2]
    container, _, name = path.partition("/")
    return unquote(container), unquote(name)


def _is_emulator(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True
