"""Due exports by the schedules of `exports.toml`: a batch a day and app, also after downtime."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from azure.core.exceptions import ResourceNotFoundError

from mobexport import export_types
from mobexport.blob_paths import slug
from mobexport.config import App, ExportsConfig
from mobexport.pipeline.requests.batch_parsing import make_requests
from mobexport.pipeline.requests.batches import Batch, Batches, new_batch
from mobexport.schedule import Schedule
from mobexport.settings import Settings
from mobexport.storage import EXPORTS_TABLE, DataStorage
from mobexport.telemetry.logs import get_logger

_log = get_logger(__name__)
_PARTITION: Final = "schedules"


@dataclass(frozen=True)
class Scheduler:
    """The schedules over one data account."""

    config: ExportsConfig
    settings: Settings
    storage: DataStorage
    batches: Batches

    def due(self, now: datetime) -> Iterator[Batch]:
        """Keeps the batches that are due and yields them, oldest day first; the caller starts them.

        A day counts as requested once its batch was taken. A crash in between repeats the request, which is
        harmless: the same request is the same batch.
        """
        for name, app in self.config.apps.items():
            if app.schedule is None:
                continue
            days = app.schedule.due_days(self._done(name), now)
            for day in days:
                batch = self._batch(name, app, app.schedule, day, now, fresh=day == days[-1])
                yield self.batches.add(batch)[0]
                self._keep(name, day)
                _log.info("app %s: asked for %d exports up to %s", name, len(batch.items), day)

    def _batch(
        self, name: str, app: App, schedule: Schedule, day: date, now: datetime, *, fresh: bool
    ) -> Batch:
        chosen = [export_types.get(one) for one in schedule.types] or list(export_types.all_types())
        # A snapshot shows the present state: missed days cannot be made up for.
        types = tuple(one for one in chosen if fresh or one.historical)
        late = schedule.late_days or self.settings.late_days
        span = (day - timedelta(days=late - 1), day)
        requests = [
            replace(request, notify=app.notify, strict=app.checks == "strict")
            for request in make_requests(name, types, (span,), now)
        ]
        return new_batch(
            f"daily-{day.isoformat()}-{slug(name)}", requests, parallel=app.parallel, rerun=False
        )

    def _done(self, app: str) -> date | None:
        try:
            return date.fromisoformat(self._table.get_entity(_PARTITION, app)["through"])
        except ResourceNotFoundError:
            return None

    def _keep(self, app: str, day: date) -> None:
        self._table.upsert_entity({"PartitionKey": _PARTITION, "RowKey": app, "through": day.isoformat()})

    @property
    def _table(self) -> Any:
        return self.storage.table(EXPORTS_TABLE)
