"""Build the triggers that start functions by themselves: timers and blobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from devhost.errors import IndexingError
from devhost.harsh import BlobArrivals, HarshPolicy
from devhost.invoker import Call
from devhost.settings import HostJson, resolve
from devhost.storage import DEFAULT_CONNECTION, Storage
from devhost.triggers.background import Trigger
from devhost.triggers.blob import BlobTrigger, ReceiptStore
from devhost.triggers.blob_path import parse_path
from devhost.triggers.ncrontab import parse_schedule
from devhost.triggers.timer import StatusStore, TimerTrigger
from devhost.worker.messages import Function


class TriggerStore(StatusStore, ReceiptStore, Protocol):
    """Persistent state of timers and blob triggers."""


@dataclass(frozen=True)
class TriggerServices:
    """Needs of the builders; `invoke` runs a function to its end and raises what it raises."""

    settings: HostJson
    environment: Mapping[str, str]
    storage: Storage
    store: TriggerStore
    invoke: Callable[[Function, Call], object]
    harsh: HarshPolicy | None = None


def build_trigger(function: Function, services: TriggerServices) -> Trigger:
    """Trigger of a function whose type is one of BUILDERS. Raises IndexingError."""
    return BUILDERS[function.trigger_type](function, services, lambda call: services.invoke(function, call))


Run = Callable[[Call], object]


def _timer(function: Function, services: TriggerServices, run: Run) -> Trigger:
    trigger = function.trigger
    name = services.environment.get("WEBSITE_TIME_ZONE")
    try:
        zone = ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise IndexingError(f"WEBSITE_TIME_ZONE: the time zone '{name}' is not known") from error
    return TimerTrigger(
        function.name,
        parse_schedule(resolve(str(trigger["schedule"]), services.environment), zone),
        services.store,
        run,
        run_on_startup=bool(trigger.get("runOnStartup")),
        monitor=trigger.get("useMonitor") is not False,
        zone=zone,
    )


def _blob(function: Function, services: TriggerServices, run: Run) -> Trigger:
    trigger = function.trigger
    connection = str(trigger.get("connection") or DEFAULT_CONNECTION)
    path = parse_path(resolve(str(trigger["path"]), services.environment))
    services.storage.check(connection, "blob")
    harsh = services.harsh
    built = BlobTrigger(
        function.name,
        path,
        connection,
        services.storage,
        services.store,
        run if harsh is None else _harsh(run, harsh),
        attempts=services.settings.blob_attempts,
        parallel=services.settings.max_blobs,
        source=str(trigger.get("source") or "LogsAndContainerScan"),
    )
    if harsh is not None:
        built.arrived = BlobArrivals(harsh).arrived
    return built


def _harsh(run: Run, policy: HarshPolicy) -> Run:
    """`run`, sometimes twice for one event of a blob."""

    def deliver(call: Call) -> None:
        for _ in range(policy.blob_runs(str(call.metadata["BlobTrigger"].value))):
            run(call)

    return deliver


BUILDERS: Mapping[str, Callable[[Function, TriggerServices, Run], Trigger]] = {
    "timerTrigger": _timer,
    "blobTrigger": _blob,
}
