"""Expected results of the chaos app, and a client that repeats its calls until all is done."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

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


_DIED = ("exited with code 137", "hasn't (yet?) scheduled this task", "Terminated by its client")
"""What tells a failure that is no fault of the orchestration's: its client starts it again."""
_PATIENCE_SECONDS = 4.0
"""An orchestration that has not moved for so long has lost a message. Its timers and retries are shorter."""


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
    _moved: tuple[str, float] = ("", 0.0)
    """When it last moved, by its own clock and by ours."""

    def stands_still(self, updated: str) -> bool:
        """Whether nothing has happened for so long that a message must be lost."""
        if updated != self._moved[0]:
            self._moved = updated, time.monotonic()
        return time.monotonic() - self._moved[1] > _PATIENCE_SECONDS


@dataclass
class Client:
    """Does with plain HTTP what clients of an app do; whatever a dead host left open, it does again."""

    orders: list[Order] = field(default_factory=list)
    base: str = ""
    heals: bool = False
    """Whether it starts again what died with a worker, or lost a message."""
    healed: int = 0
    _left: dict[str, Order] = field(default_factory=dict)

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

    def lose_messages(self) -> int:
        """Have the host lose all that waits for an orchestration; gives the number of messages."""
        return int(self._call("DELETE", "messages", base="/admin/devhost")["lost"])

    def end_left_children(self) -> bool:
        """Terminate children that stand still, whose parents died; whether none is left."""
        found = self._call("GET", "instances?runtimeStatus=Pending,Running&top=1000")
        for child in found:
            order = self._left.setdefault(child["instanceId"], Order("", child["instanceId"]))
            if order.stands_still(child["lastUpdatedTime"]):
                self._terminate(order.id)
        return not found

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
            if self.heals and order.stands_still(status["lastUpdatedTime"]):
                self._terminate(order.id)
        elif self.heals and any(text in str(status["output"]) for text in _DIED):
            self.healed += 1
            order.raised.clear()
            self._call("POST", f"orchestrators/{order.kind}/{order.id}", b"")
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

    def _terminate(self, instance_id: str) -> None:
        reason = quote(_DIED[-1])
        self._call("POST", f"instances/{quote(instance_id)}/terminate?reason={reason}", b"")

    def _call(
        self, method: str, path: str, body: bytes | None = None, base: str = "/runtime/webhooks/durabletask"
    ) -> Any:
        """The answer's JSON; None for 404 and for answers without a body."""
        request = urllib.request.Request(
            f"{self.base}{base}/{path}",
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
