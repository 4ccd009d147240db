"""Expected results of the chaos app, and a client that repeats its calls until all is done."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

EXPECTED: dict[str, Any] = {
    "fan": 12,
    "timers": "waited",
    "parent": [[12, 12, "waited"], True],
    "approval": [1, 2],
    "rounds": "round 3",
    "retries": 6,
}
_KEYS = {
    "fan": 4,
    "timers": 2,
    "parent": 10,
    "approval": 1,
    "rounds": 4,
    "retries": 1,
}
_EVENTS = ("first", "second")


class HostDiedError(Exception):
    """The host did not answer any more."""


@dataclass
class Order:
    """One orchestration a client wants, and how far it is."""

    kind: str
    id: str
    purge: bool = False
    exists: bool = False
    raised: set[str] = field(default_factory=set)
    doubtful: str | None = None
    """An event whose answer did not come: sent again only if it is in no history and no inbox."""
    asked_to_purge: bool = False
    done: bool = False
    result: Any = None


@dataclass
class Client:
    """Does with plain HTTP what clients of an app do; whatever a dead host left open, it does again."""

    orders: list[Order] = field(default_factory=list)
    base: str = ""

    def add(self, name: str, kinds: Sequence[str], purge: str = "") -> None:
        """New orders, one of each kind; the one of the kind `purge` is purged when it has ended."""
        self.orders += [Order(kind, f"{name}-{kind}", purge=kind == purge) for kind in kinds]

    @property
    def is_done(self) -> bool:
        return all(order.done for order in self.orders)

    def pursue(self) -> None:
        """One turn over all orders. Raises HostDiedError."""
        for order in self.orders:
            if not order.done:
                self._pursue(order)

    def settle_doubts(self, events_on_disk: set[tuple[str, str]]) -> None:
        """`events_on_disk`: (instance id, event name) of all histories and inboxes, while no host runs."""
        for order in self.orders:
            if order.doubtful is not None:
                if (order.id, order.doubtful) in events_on_disk:
                    order.raised.add(order.doubtful)
                order.doubtful = None

    def _pursue(self, order: Order) -> None:
        status = self._call("GET", f"instances/{order.id}")
        if status is None:
            if order.asked_to_purge:
                order.done = True
            else:
                self._call("POST", f"orchestrators/{order.kind}/{order.id}", b"")
            return
        order.exists = True
        if status["runtimeStatus"] in ("Pending", "Running"):
            self._raise_next(order)
        elif order.purge:
            order.result = status["output"]
            order.asked_to_purge = True
            self._call("DELETE", f"instances/{order.id}")
        else:
            order.result, order.done = status["output"], True

    def _raise_next(self, order: Order) -> None:
        left = [name for name in _EVENTS if name not in order.raised]
        if order.kind == "approval" and left:
            order.doubtful = left[0]
            body = json.dumps(1 + _EVENTS.index(left[0])).encode()
            self._call("POST", f"instances/{order.id}/raiseEvent/{left[0]}", body)
            order.raised.add(left[0])
            order.doubtful = None

    def _call(self, method: str, path: str, body: bytes | None = None) -> Any:
        """The answer's JSON; None for 404 and for answers without a body."""
        request = urllib.request.Request(
            f"{self.base}/runtime/webhooks/durabletask/{path}",
            data=body,
            method=method,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                if error.code not in (404, 409, 410, 412):
                    raise
            return None
        except (OSError, HTTPException) as error:
            raise HostDiedError from error
        return json.loads(text) if text else None


def check_results(client: Client, runs: Path) -> Iterator[str]:
    """Wrong results, and activities that a result relies on although they never ran."""
    ran = set(runs.read_text("utf-8").splitlines())
    for order in client.orders:
        if not order.done:
            yield f"{order.id}: never ended"
            continue
        result = order.result if isinstance(order.result, dict) else {}
        if result.get("value") != EXPECTED[order.kind]:
            yield f"{order.id}: gave {order.result!r} instead of {EXPECTED[order.kind]!r}"
        keys = result.get("keys", [])
        if len(set(keys)) != _KEYS[order.kind]:
            yield f"{order.id}: {len(set(keys))} activities instead of {_KEYS[order.kind]}"
        yield from (f"{order.id}: {key} never ran" for key in keys if f"activity {key}" not in ran)
