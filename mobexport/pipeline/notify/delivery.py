"""Deliver one notification to one target; the registry holds pending deliveries and their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mobexport.clock import stamp
from mobexport.errors import MobexportError
from mobexport.pipeline.registry.export_row import FAILED, PENDING, event_key
from mobexport.pipeline.registry.registry import Registry
from mobexport.storage import known_error
from mobexport.telemetry import metrics
from mobexport.untrusted import prose
from mobexport.wire import AttemptRef


@dataclass(frozen=True)
class Deliverer:
    """Makes pending notifications."""

    registry: Registry
    post: Callable[[str, Mapping[str, Any]], None]
    """Sends an event to the target of that name; raises RemoteError or ConfigError."""

    def send(self, ref: AttemptRef, target: str, *, tries: int, attempts: int) -> dict[str, Any]:
        """Try number `tries` of at most `attempts`; `{"state"}`, at once when nothing is pending any more.

        `target` is a name, of a finding `name~kind`.
        Raises RemoteError to be tried again, RemoteError or ConfigError when a retry is useless.
        """
        row = self.registry.get(ref.export_id)
        pending = row.delivery(target, ref.attempt)
        event = row.events.get(event_key(ref.attempt, target))
        if pending is None or event is None or pending["state"] not in PENDING:
            return {"state": pending["state"] if pending else "Unknown"}
        delivery = {"event": pending["event"], "state": "Delivered", "tries": tries, "at": stamp()}
        if "resent" in pending:
            delivery["resent"] = pending["resent"]
        try:
            self.post(target.partition("~")[0], event)
        except Exception as raised:
            error = known_error(raised)
            if error is None:
                error = MobexportError(f"sending failed ({type(raised).__name__}); the log has the details")
            last = tries >= attempts or not error.retryable
            delivery |= {"state": FAILED if last else "Retrying", "error": prose(error.message)}
            self._record(ref, target, delivery)
            raise
        self._record(ref, target, delivery)
        return {"state": "Delivered"}

    def _record(self, ref: AttemptRef, target: str, delivery: Mapping[str, Any]) -> None:
        self.registry.record_delivery(ref, target, delivery)
        metrics.notification_tried(str(delivery["state"]))
