"""Due exports by the schedules of `exports.toml`: a batch a day and app, also after downtime."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from azure.core.exceptions import ResourceNotFoundError

from mobexport import export_types
from mobexport.blob_paths import CURATED_CONTAINER, slug
from mobexport.clock import stamp
from mobexport.config import App, ExportsConfig
from mobexport.errors import MobexportError, NotFound, UnreadableRow
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.requests.batch_parsing import make_requests
from mobexport.pipeline.requests.batches import Batch, Batches, new_batch
from mobexport.pipeline.requests.settled_batches import (
    DIGEST,
    NO_DATA,
    Ended,
    has_no_data,
    make_schedule_event,
)
from mobexport.redact import brief, redact
from mobexport.schedule import Schedule
from mobexport.settings import Settings
from mobexport.storage import EXPORTS_TABLE, DataStorage, known_error
from mobexport.telemetry.logs import get_logger

_log = get_logger(__name__)
_PARTITION: Final = "schedules"
_WATCHED: Final = 20
# Start of the log line that infra/queries/no-data.kql looks for.
NO_DATA_LINE: Final = "no data:"
# Events that wait at most; each has some kilobytes, of the 64 that a cell holds.
_EVENTS: Final = 4
_CELL: Final = 32_000  # of UTF-16; a cell of a table holds 32,768
_SENDS: Final = 24
AGAIN: Final = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4))
"""How long after a look that found it failed a batch is asked for again: so often, and no more."""


@dataclass(frozen=True)
class Scheduler:
    """The schedules over one data account."""

    config: ExportsConfig
    settings: Settings
    storage: DataStorage
    batches: Batches
    registry: Registry
    post: Callable[[str, Mapping[str, Any]], None]
    """Sends an event to the target of that name; raises RemoteError or ConfigError."""

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
                why = brief(error, 300)
                _log.error("app %s: its schedule did not run, the others go on: %s", name, why)

    def _due(self, name: str, app: App, schedule: Schedule, now: datetime) -> Iterator[Batch]:
        row = self._row(name)
        days = schedule.due_days(date.fromisoformat(row["through"]) if row else None, now)
        watched: dict[str, list[Any]] = json.loads(row.get("watched", "{}")) if row else {}
        outbox: list[dict[str, Any]] = json.loads(row.get("outbox", "[]")) if row else []
        before = dict(watched)
        for day in days:
            batch = self._batch(name, app, schedule, day, now, fresh=day == days[-1])
            yield self.batches.add(batch)[0]
            watched[batch.id] = [0, None]
            row = self._keep(name, day.isoformat(), watched, outbox, stamp(now))
            before = dict(watched)
            _log.info("app %s: asked for %d exports up to %s", name, len(batch.items), day)
        settled: list[Batch] = []
        yield from self._again(watched, now, settled)
        for ended in settled:
            outbox += self._told(name, app, ended)
        if row and watched != before:
            self._keep(name, row["through"], watched, outbox, row.get("at"))
        if row and outbox:
            # After they were kept: whoever dies here sends them once more, with the same ids.
            self._keep(name, row["through"], watched, self._send(name, outbox), row.get("at"))

    def batch_now(self, app: str, now: datetime) -> Batch:
        """The batch of the newest day that is due, as the tick would keep it: to be asked for at any time.

        The tick finds it when it comes to that day. Raises NotFound.
        """
        own = self.config.apps.get(app)
        if own is None or own.schedule is None:
            raise NotFound(f'exports.toml has no [apps."{app[:64]}".schedule]')
        return self._batch(app, own, own.schedule, own.schedule.latest_day(now), now, fresh=True)

    def shown(self, now: datetime) -> list[dict[str, Any]]:
        """Each schedule with the last day that was asked for, and when the next run is due.

        A run that is due begins with the next tick, within five minutes.
        """
        return [
            self._shown(name, app.schedule, now)
            for name, app in self.config.apps.items()
            if app.schedule is not None
        ]

    def _shown(self, name: str, schedule: Schedule, now: datetime) -> dict[str, Any]:
        about = {
            "app": name,
            "at": schedule.at.isoformat(),
            "timeZone": schedule.time_zone,
            "types": list(schedule.types) or [one.name for one in export_types.all_types()],
            "lateDays": schedule.late_days or self.settings.late_days,
            "digest": schedule.digest,
        }
        row = self._row(name)
        try:
            done = date.fromisoformat(row["through"]) if row else None
            watched = list(json.loads(row.get("watched", "{}"))) if row else []
        except (KeyError, ValueError, TypeError) as error:
            unreadable = UnreadableRow(EXPORTS_TABLE, name, error)
            return {**about, "lastDay": None, "dueDays": [], "nextRunAt": None, "error": unreadable.message}
        due = schedule.due_days(done, now)
        return {
            **about,
            "lastDay": done.isoformat() if done else None,
            "lastRunAt": row.get("at") if row else None,
            "dueDays": [day.isoformat() for day in due],
            "nextRunAt": stamp(schedule.due_at(due[0]) if due else schedule.next_run(now)),
            "watched": watched,
        }

    def _told(self, name: str, app: App, batch: Batch) -> list[dict[str, Any]]:
        """Events to send about a batch for which nothing more will be tried; also logs a day without data."""
        day = max((item.request.days[-1] for item in batch.items if item.request.window), default=None)
        if day is None:
            return []
        exports = [self._ended(item.request.id) for item in batch.items]
        kinds = [DIGEST] if app.schedule and app.schedule.digest else []
        if has_no_data(day, exports):
            _log.warning("%s %s", NO_DATA_LINE, json.dumps({"app": name, "day": day.isoformat()}))
            kinds.append(NO_DATA)
        return [
            {
                "targets": list(app.notify),
                "event": make_schedule_event(kind, name, day, batch.id, exports),
                "tries": 0,
            }
            for kind in kinds
            if app.notify
        ]

    def _ended(self, export_id: str) -> Ended:
        row = self.registry.get(export_id)
        manifest = self.storage.read_json(CURATED_CONTAINER, row.manifest) if row.manifest else None
        outputs = manifest["outputs"] if manifest else ()
        return Ended(row, frozenset(date.fromisoformat(output["date"]) for output in outputs))

    def _send(self, name: str, outbox: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Sends what is pending; what is left for the next tick. After two hours it is given up."""
        left = []
        for entry in outbox:
            targets = []
            for target in entry["targets"]:
                try:
                    self.post(target, entry["event"])
                except Exception as raised:
                    if (error := known_error(raised)) is None:
                        raise
                    again = error.retryable and entry["tries"] + 1 < _SENDS
                    if again:
                        targets.append(target)
                    what = "will be sent again" if again else "given up"
                    about = f"{entry['event']['type']} of app {name} to {target}"
                    _log.warning("%s %s: %s", about, what, redact(error.message))
            if targets:
                left.append({**entry, "targets": targets, "tries": entry["tries"] + 1})
        return left

    def _again(self, watched: dict[str, list[Any]], now: datetime, settled: list[Batch]) -> Iterator[Batch]:
        """Batches to begin anew; `watched` has for each batch the tries and the time of the next one.

        Those for which nothing more will be tried go to `settled`.
        """
        for id_, (tries, at) in list(watched.items()):
            batch = self._find(id_)
            if batch is None or batch.state == "Succeeded" or (batch.ended_at and tries >= len(AGAIN)):
                del watched[id_]
                settled += [batch] if batch is not None and batch.ended_at else []
            elif batch.ended_at and at is None:
                watched[id_] = [tries, (now + AGAIN[tries]).isoformat()]
            elif batch.ended_at and now >= datetime.fromisoformat(at):
                begun = self.batches.again(batch, now)
                if begun is None:
                    del watched[id_]
                    settled.append(batch)
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
            replace(request, notify=() if schedule.digest else app.notify, strict=app.checks == "strict")
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

    def _keep(
        self,
        app: str,
        through: str,
        watched: dict[str, list[Any]],
        outbox: list[dict[str, Any]],
        at: str | None,
    ) -> dict[str, Any]:
        # The oldest go first: a row has its limits, and what failed a week ago is somebody's decision.
        kept = dict(list(watched.items())[-_WATCHED:])
        row = {
            "PartitionKey": _PARTITION,
            "RowKey": app,
            "through": through,
            **({"at": at} if at else {}),
            "watched": json.dumps(kept),
            "outbox": _fitting(outbox),
        }
        self._table.upsert_entity(row)
        return row

    @property
    def _table(self) -> Any:
        return self.storage.table(EXPORTS_TABLE)


def _fitting(outbox: list[dict[str, Any]]) -> str:
    """The newest entries, as many as a cell of the table holds; the last one always does."""
    kept = outbox[-_EVENTS:]
    while len((text := json.dumps(kept, ensure_ascii=False)).encode("utf-16-le")) > 2 * _CELL:
        kept = kept[1:]
    if len(kept) < len(outbox):
        ids = ", ".join(one["event"]["id"] for one in outbox[: len(outbox) - len(kept)])
        _log.warning("events that wait for their targets are given up, there is no more room: %s", ids)
    return text
