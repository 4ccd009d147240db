"""Build the parts of a host from the functions of an app."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from devhost.admin_api import AdminApi, ManualRuns
from devhost.durable.api import DurableApi
from devhost.durable.determinism import DeterminismCheck
from devhost.durable.determinism_watch import DeterminismWatch
from devhost.durable.dispatcher import Dispatcher
from devhost.durable.engine import Engine
from devhost.durable.episode import OrchestratorCall
from devhost.durable.other_hubs import OtherHubs
from devhost.durable.store import Store
from devhost.durable.versions import Versioning
from devhost.functions import Functions
from devhost.harsh import HarshPolicy
from devhost.host import Host
from devhost.invoker import Invoker
from devhost.routing import Route, Router
from devhost.settings import HostJson, request_body_limit, resolve
from devhost.storage import Storage
from devhost.triggers.build import BUILDERS, TriggerServices, build_trigger
from devhost.worker.messages import Datum, Function, OpenTasks, Replay, Run
from devhost.worker.process import WorkerProcess

_log = logging.getLogger("devhost")


def build_host(
    state: Path,
    settings: HostJson,
    functions: Functions,
    worker: WorkerProcess,
    origins: tuple[str, str],
    *,
    check_determinism: bool = True,
    harsh: HarshPolicy | None = None,
) -> Host:
    """A host that has not started, over a worker that has.

    `origins` are the public `http://host:port` and that of the RPC API.
    """
    public, rpc = origins
    store = Store(state / "devhost.sqlite")
    invoker = Invoker(worker)
    check = DeterminismCheck(partial(_open_tasks, worker)) if check_determinism else None
    engine = _engine(functions, worker, store, settings, check, harsh)
    watch = None if check is None else DeterminismWatch(check, engine.known, _log.error)
    dispatcher = Dispatcher(
        engine,
        _activity_runner(functions, invoker),
        max_activities=settings.max_activities,
        warn=_log.warning,
        harsh=harsh,
        episode_done=None if watch is None else watch.episode_done,
    )
    routes = functions.build(("httpTrigger",), partial(_route, settings.route_prefix))
    services = TriggerServices(settings, os.environ, Storage(os.environ), store, invoker.invoke, harsh)
    triggers = functions.build(tuple(BUILDERS), lambda function: build_trigger(function, services))
    functions.warn_of_retry_policies()
    if not settings.has_extensions:
        functions.warn_of_missing_extensions()
    by_hand = ManualRuns(triggers, invoker, functions.errors)
    return Host(
        functions=functions,
        route_prefix=settings.route_prefix,
        body_limit=request_body_limit(os.environ),
        origin=public,
        rpc_origin=rpc,
        store=store,
        invoker=invoker,
        dispatcher=dispatcher,
        worker=worker,
        watch=watch,
        triggers=triggers,
        router=Router(list(routes.values())),
        durable=DurableApi(engine, settings.hub, OtherHubs(state).api),
        admin=AdminApi(
            functions.enabled, public, settings.route_prefix, by_hand.start, functions.errors, store.lose
        ),
    )


def _engine(
    functions: Functions,
    worker: WorkerProcess,
    store: Store,
    settings: HostJson,
    check: DeterminismCheck | None,
    harsh: HarshPolicy | None,
) -> Engine:
    orchestrations = functions.of_type("orchestrationTrigger")
    strategy = settings.version_match_strategy
    version = settings.default_version
    return Engine(
        store,
        {f.durable_name.lower(): _orchestrator(f, worker, check) for f in orchestrations},
        [f.durable_name.lower() for f in functions.of_type("activityTrigger")],
        names=[f.durable_name for f in orchestrations],
        versioning=Versioning(version, strategy) if strategy else Versioning(version),
        timer_lead=harsh.timer_lead if harsh else None,
        loses=harsh.loses if harsh else None,
    )


def _orchestrator(
    function: Function, worker: WorkerProcess, check: DeterminismCheck | None
) -> OrchestratorCall:
    def call(context: str) -> str:
        return str(worker.ask(Run(function.name, Datum(context, "string"))).value)

    return (
        call if check is None else check.wrap(function.durable_name, call, _Replayed(worker, function.name))
    )


@dataclass(frozen=True)
class _Replayed:
    """An orchestrator as the determinism check calls it: its log lines are not shown again."""

    worker: WorkerProcess
    function: str

    def __call__(self, context: str) -> str:
        return str(self.worker.ask(Replay(self.function, context)))


def _open_tasks(worker: WorkerProcess, handle: OrchestratorCall, context: str) -> dict[int, bool] | None:
    assert isinstance(handle, _Replayed)
    found: dict[int, bool] | None = worker.ask(OpenTasks(handle.function, context))
    return found


def _activity_runner(functions: Functions, invoker: Invoker) -> Callable[[str, str | None], str]:
    activities = {f.durable_name.lower(): f for f in functions.of_type("activityTrigger")}

    def run(name: str, input_text: str | None) -> str:
        return invoker.run_activity(activities[name.lower()], input_text)

    return run


def _route(prefix: str, function: Function) -> Route[Function]:
    """Raises ValueError for a template that ASP.NET does not take."""
    template = "/".join(part for part in (prefix, function.route) if part)
    return Route(resolve(template, os.environ), function.methods, function)
