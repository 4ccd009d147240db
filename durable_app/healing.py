"""Start again what the platform lost: instances that failed, vanished, or wait for a message for ever.

The registries are the truth, an orchestration only a way to move a row on. Every tick looks at all open rows,
and so does the first function of a new worker, since the one before it may have died.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from durable_app.sdk import Client
from durable_app.starting import (
    delivery_instance,
    start_batch,
    start_delivery,
    start_processing,
    start_run,
    start_task,
)
from mobexport import durable_names as names
from mobexport.clock import read_stamp
from mobexport.liveness import MAX_RESTARTS, Instance, Verdict, judge
from mobexport.redact import redact
from mobexport.telemetry import metrics
from mobexport.telemetry.logs import get_logger, log_context
from mobexport.wire import Outcome

if TYPE_CHECKING:
    from mobexport.export_api.tasks.task_registry import ExportTask
    from mobexport.pipeline.registry.export_row import ExportRow
    from mobexport.services import Services

_log = get_logger(__name__)

# Start of the log line that the alert of infra/modules/alerts.bicep looks for; a test compares them.
LOST: Final = "orchestration lost:"
_REASON: Final = "it waits for a message that was lost"
# An instance that is told to end does so within this time, or the next look finds it ended.
_END_SECONDS: Final = 10.0
_AT_ONCE: Final = 8


@dataclass(frozen=True)
class _Work:
    """A row with work left, and the instance that should do it."""

    name: str
    instance: str
    changed: datetime
    """Last write of the row."""
    restart: Callable[[], Awaitable[None]]
    must_exist: bool = True
    """Whether one that never was is to be started: not if somebody else has that duty."""


# The only look of this process that no tick made; a task that nothing refers to may be collected.
_first_look: list[asyncio.Task[int]] = []


def look_once(services: Services, client: Client) -> None:
    """Looks at every row with work left, beside what called this; only the first call of a process does.

    For functions with a client, on the worker's event loop.
    """
    if not _first_look:
        from mobexport.clock import now

        _first_look.append(asyncio.get_running_loop().create_task(_first(services, client, now())))


async def _first(services: Services, client: Client, now: datetime) -> int:
    try:
        return await heal(services, client, now)
    except Exception as error:  # noqa: BLE001 - the next tick looks again
        _log.warning("no look for lost orchestrations at the start: %s", redact(f"{error}")[:200])
        return 0


async def heal(services: Services, client: Client, now: datetime) -> int:
    """Looks at every row with work left; the number of instances that were started again."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def look(work: _Work) -> bool:
        async with gate:
            try:
                return await _look(client, work, now)
            except Exception as error:  # noqa: BLE001 - the others are looked at all the same
                _log.error(
                    "%s %s cannot be looked at: %s", work.name, work.instance, redact(f"{error}")[:200]
                )
                return False

    return sum(await asyncio.gather(*[look(work) async for work in _open_work(services, client, now)]))


async def _open_work(services: Services, client: Client, now: datetime) -> AsyncIterator[_Work]:
    if services.serves_export_api:
        for task in await asyncio.to_thread(lambda: list(services.tasks.unended(now))):
            yield _of_task(services, client, task)
    if services.runs_pipeline:
        for row in await asyncio.to_thread(services.reconciler.open_rows, now):
            for work in _of_export(services, client, row):
                yield work
        for batch, changed in await asyncio.to_thread(services.batches.open_ids):
            yield _Work(
                names.RUN_BATCH, names.batch_instance(batch), changed, partial(start_batch, client, batch)
            )


def _of_task(services: Services, client: Client, task: ExportTask) -> _Work:
    async def restart() -> None:
        found = await asyncio.to_thread(services.tasks.count_restart, task.ref)
        if found is None:
            return  # It has ended meanwhile.
        if found.restarts > MAX_RESTARTS:
            await asyncio.to_thread(services.export_tasks.finish, task.ref, _given_up(found.restarts))
            return
        await start_task(client, task.ref)

    changed = read_stamp(task.date_started or task.date_created)
    return _Work(names.SERVE_EXPORT_TASK, names.task_instance(task.id), changed, restart)


def _of_export(services: Services, client: Client, row: ExportRow) -> list[_Work]:
    changed = read_stamp(row.updated_at)

    async def restart(start: Callable[[], Awaitable[None]]) -> None:
        found = await asyncio.to_thread(services.registry.count_restart, row.ref)
        if found is None:
            return  # It has ended meanwhile, or its next attempt has begun.
        if found.restarts > MAX_RESTARTS:
            await asyncio.to_thread(services.finisher.finish, row.ref, _given_up(found.restarts))
            return
        await start()

    work = []
    if not row.state.terminal:
        run = partial(restart, partial(start_run, client, services, row))
        work.append(_Work(names.RUN_EXPORT, names.run_instance(row.ref), changed, run))
    if row.processing:
        process = partial(restart, partial(start_processing, client, row.ref, "tick", row.trace))
        instance = names.process_instance(row.ref)
        # The blob trigger starts it, and the run after a while.
        work.append(_Work(names.PROCESS_EXPORT, instance, changed, process, must_exist=False))
    for attempt, target in row.pending_deliveries:
        deliver = partial(start_delivery, client, row, attempt, target)
        instance = delivery_instance(row, attempt, target)
        work.append(_Work(names.DELIVER_NOTIFICATION, instance, changed, deliver))
    return work


async def _look(client: Client, work: _Work, now: datetime) -> bool:
    found = await _find(client, work.instance)
    lanes = [(name, await _find(client, name)) for name in (found.lanes if found else ())]
    for name, lane in lanes:
        if lane and judge(lane, now, now) is Verdict.STUCK:
            # Its parent calls it again.
            await _end(client, name)
    verdict = judge(found, work.changed, now, tuple(lane for _, lane in lanes))
    if verdict is Verdict.ALIVE or (found is None and not work.must_exist):
        return False
    with log_context({"instance": work.instance}):
        state = found.state if found else "missing"
        _log.warning("%s %s %s is %s (%s)", LOST, work.name, work.instance, verdict, state)
        metrics.orchestration_lost(work.name, str(verdict))
        if verdict is Verdict.STUCK and not await _end(client, work.instance):
            return False  # The next look finds it ended.
        await work.restart()
    return True


async def _find(client: Client, instance_id: str) -> Instance | None:
    status = await client.get_status(instance_id)
    state = getattr(getattr(status, "runtime_status", None), "value", None)
    if not state or status.last_updated_time is None:
        return None
    return Instance.of(state, status.last_updated_time, status.custom_status)


async def _end(client: Client, instance_id: str) -> bool:
    """Ends an instance; whether it has ended in time."""
    await client.terminate(instance_id, _REASON)
    loop = asyncio.get_running_loop()
    until = loop.time() + _END_SECONDS
    while loop.time() < until:
        found = await _find(client, instance_id)
        if found is None or not found.going:
            return True
        await asyncio.sleep(0.2)
    return False


def _given_up(restarts: int) -> Outcome:
    return Outcome.failed(
        "WorkerLost",
        f"its orchestration was lost {restarts} times: look for {LOST!r} and for workers that died in the"
        " log, mend the cause (often memory: a larger instance size), then ask again",
        kind="bug",
    )
