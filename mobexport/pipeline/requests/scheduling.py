"""Due exports by the schedules of `exports.toml`: a batch a day and app, also after downtime."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from azure.core.exceptions import ResourceNotFoundError

from mobexport import export_types
from mobexport.blob_paths import slug
from mobexport.config import App, ExportsConfig
from mobexport.errors import MobexportError, NotFound
from mobexport.pipeline.requests.batch_parsing import make_requests
from mobexport.pipeline.requests.batches import Batch, Batches, new_batch
from mobexport.redact import redact
from mobexport.schedule import Schedule
from mobexport.settings import Settings
from mobexport.storage import EXPORTS_TABLE, DataStorage
from mobexport.telemetry.logs import get_logger

_log = get_logger(__name__)
_PARTITION: Final = "schedules"
_WATCHED: Final = 20
AGAIN: Final = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4))
"""How long after a look that found it failed a batch is asked for again: so often, and no more."""


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
        harmless: the same request is the same batch. A batch with exports that failed for a passing reason
        is asked for again, three times at most.
        """
        for name, app in self.config.apps.items():
            if app.schedule is None:
                continue
            try:
                yield from self._due(name, app, app.schedule, now)
            except (KeyError, ValueError, TypeError, MobexportError) as error:
                why = redact(f"{type(error).__name__}: {error}")[:300]
                _log.error("app %s: its schedule did not run, the others go on: %s", name, why)

    def _due(self, name: str, app: App, schedule: Schedule, now: datetime) -> Iterator[Batch]:
        row = self._row(name)
        days = schedule.due_days(date.fromisoformat(row["through"]) if row else None, now)
        watched: dict[str, list[Any]] = json.loads(row.get("watched", "{}")) if row else {}
        before = dict(watched)
        for day in days:
            batch = self._batch(name, app, schedule, day, now, fresh=day == days[-1])
            yield self.batches.add(batch)[0]
            watched[batch.id] = [0, None]
            row = self._keep(name, day.isoformat(), watched)
            before = dict(watched)
            _log.info("app %s: asked for %d exports up to %s", name, len(batch.items), day)
        yield from self._again(watched, now)
        if row and watched != before:
            self._keep(name, row["through"], watched)

    def _again(self, watched: dict[str, list[Any]], now: datetime) -> Iterator[Batch]:
        """Batches to begin anew; `watched` has for each batch the tries and the time of the next one."""
        for id_, (tries, at) in list(watched.items()):
            batch = self._find(id_)
            if batch is None or batch.state == "Succeeded" or (batch.ended_at and tries >= len(AGAIN)):
                del watched[id_]
            elif batch.ended_at and at is None:
                watched[id_] = [tries, (now + AGAIN[tries]).isoformat()]
            elif batch.ended_at and now >= datetime.fromisoformat(at):
                begun = self.batches.again(batch, now)
                if begun is None:
                    del watched[id_]
                    continue
                watched[id_] = [tries + 1, None]
                _log.warning("batch %s failed for a passing reason: asked for again", id_)
                yield begun

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

    def _find(self, id_: str) -> Batch | None:
        try:
            return self.batches.get(id_)
        except NotFound:
            return None

    def _row(self, app: str) -> dict[str, Any] | None:
        try:
            return dict(self._table.get_entity(_PARTITION, app))
        except ResourceNotFoundError:
            return None

    def _keep(self, app: str, through: str, watched: dict[str, list[Any]]) -> dict[str, Any]:
        # The oldest go first: a row has its limits, and what failed a week ago is somebody's decision.
        kept = dict(list(watched.items())[-_WATCHED:])
        row = {"PartitionKey": _PARTITION, "RowKey": app, "through": through, "watched": json.dumps(kept)}
        self._table.upsert_entity(row)
        return row

    @property
    def _table(self) -> Any:
        return self.storage.table(EXPORTS_TABLE)
