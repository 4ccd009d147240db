"""One notification to one target: what is owed stands in the registry, and so does what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mobexport.clock import stamp
from mobexport.config import ExportsConfig
from mobexport.errors import MobexportError
from mobexport.pipeline import notify
from mobexport.pipeline.registry.export_row import PENDING
from mobexport.pipeline.registry.registry import Registry
from mobexport.redact import redact
from mobexport.storage import DataStorage, as_remote_error
from mobexport.telemetry import metrics


@dataclass(frozen=True)
class Deliverer:
    """Makes owed notifications."""

    registry: Registry
    storage: DataStorage
    config: Callable[[], ExportsConfig]

    def send(self, export_id: str, attempt: int, target: str, *, tries: int, of: int) -> dict[str, Any]:
        """Try number `tries` of `of`; `{"state"}`, at once when nothing is owed any more.

        Raises RemoteError to be tried again, RemoteError or ConfigError when that is useless.
        """
        row = self.registry.get(export_id)
        owed = row.deliveries.get(f"{attempt}/{target}")
        event = row.events.get(str(attempt))
        if owed is None or event is None or owed["state"] not in PENDING:
            return {"state": owed["state"] if owed else "Unknown"}
        delivery = {"event": owed["event"], "state": "Delivered", "tries": tries, "at": stamp()}
        try:
            notify.send(self.config().target(target), event, self.storage)
        except Exception as raised:
            error = raised if isinstance(raised, MobexportError) else as_remote_error(raised)
            if error is None:
                error = MobexportError(f"sending failed ({type(raised).__name__}); the log has the details")
            last = tries >= of or not error.retryable
            delivery |= {"state": "Failed" if last else "Retrying", "error": redact(error.message)}
            self._record(export_id, attempt, target, delivery)
            raise
        self._record(export_id, attempt, target, delivery)
        return {"state": "Delivered"}

    def _record(self, export_id: str, attempt: int, target: str, delivery: Mapping[str, Any]) -> None:
        self.registry.record_delivery(export_id, attempt, target, delivery)
        metrics.notification_tried(str(delivery["state"]))
