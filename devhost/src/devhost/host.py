"""Puts the parts of a running app together: what is started in which order, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from aiohttp import web
from azure.functions import OrchestrationContext
from azure.functions.meta import Datum

from devhost import console
from devhost.admin_api import VERSION, AdminApi
from devhost.durable.api import DurableApi
from devhost.durable.client_binding import client_binding_json
from devhost.durable.determinism import DeterminismCheck
from devhost.durable.determinism_watch import DeterminismWatch
from devhost.durable.engine import Engine
from devhost.durable.episode import OrchestratorCall
from devhost.durable.sdk import remember_repeated_work
from devhost.durable.store import Store
from devhost.durable.versions import Versioning
from devhost.durable.worker import Worker
from devhost.errors import IndexingError
from devhost.harsh import HarshPolicy
from devhost.http_server import Server, empty, raw_path, request_datum, response, response_from
from devhost.indexing import Function, load_functions
from devhost.invoker import CALLED, Call, Invoker
from devhost.ports import HOST, open_port
from devhost.routing import Route, Router
from devhost.settings import HostJson, LocalSettings, apply_local_settings, read_host_json, resolve
from devhost.storage import Storage
from devhost.supported import TRIGGERS, check
from devhost.triggers.background import Trigger
from devhost.triggers.build import BUILDERS, TriggerServices, build_trigger

_log = logging.getLogger("devhost")
DRAIN_SECONDS = 30.0
CHECK_SECONDS = 2.0
_DURABLE_BASE = "/runtime/webhooks/durabletask/"
_RPC_BASE = "/durabletask/"
_LANDING_PAGE = b"""<!DOCTYPE html>
<html><head><title>Your Functions app is up and running</title></head>
<body><h1>Your Functions app is up and running</h1></body></html>
"""


def run(
    root: Path,
    listener: socket.socket,
    state: Path,
    local: LocalSettings,
    stop: threading.Event,
    *,
    check_determinism: bool = True,
    harsh_seed: int | None = None,
) -> int:
    """Run the app of a folder until `stop` is set; gives the exit code. Raises HostError when it cannot."""
    with ExitStack() as stack:
        rpc = stack.enter_context(open_port(0))
        os.environ["WEBSITE_HOSTNAME"] = f"{HOST}:{listener.getsockname()[1]}"
        os.environ["AzureWebJobsScriptRoot"] = str(root)  # noqa: SIM112 - the name the SDK reads
        os.environ["AZURE_FUNCTIONS_ENVIRONMENT"] = "Development"
        console.say(f"Function Runtime Version: {VERSION}\n")
        apply_local_settings(local, os.environ, console.say)
        os.environ.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")
        settings = read_host_json(root, os.environ)
        console.set_up_logging(settings.log_levels)
        for note in settings.notes:
            _log.info("%s", note)
        os.chdir(root)
        functions = load_functions(root)
        disabled = [function.name for function in functions if _is_disabled(function)]
        enabled = [function for function in functions if function.name not in disabled]
        harsh = None if harsh_seed is None else HarshPolicy(harsh_seed)
        if harsh is not None:
            console.say(
                f"Harsh mode, seed {harsh.seed} (--seed repeats it): activities run twice or die,"
                " timers are early, blob events are doubled, late or dropped."
            )
        host = Host(
            root, state, settings, enabled, disabled, check_determinism=check_determinism, harsh=harsh
        )
        stack.callback(host.store.close)
        host.open(
            Server(listener, host.serve_public, "devhost-http"), Server(rpc, host.serve_rpc, "devhost-rpc")
        )
        host.start()
        stop.wait()
        console.say("Stopping …")
        host.stop()
    return 0


def _is_disabled(function: Function) -> bool:
    names = (f"AzureWebJobs.{function.name}.Disabled", f"AzureWebJobs_{function.name}_Disabled")
    return any(os.environ.get(name, "").lower() in ("true", "1") for name in names)


class Host:
    """All parts of one running app."""

    def __init__(
        self,
        root: Path,
        state: Path,
        settings: HostJson,
        functions: list[Function],
        disabled: list[str],
        *,
        check_determinism: bool = True,
        harsh: HarshPolicy | None = None,
    ) -> None:
        self._settings = settings
        self._functions = functions
        self._state = state
        self._hubs_lock = threading.Lock()
        self._disabled = disabled
        self._harsh = harsh
        self._errors: dict[str, str] = {}
        """Why a function does not run, by name: the others go on, as on the real host."""
        self._calls = ThreadPoolExecutor(64, "devhost-api")
        """Many: a start with `timeout` holds one while it waits."""
        self._storage = Storage(os.environ)
        self._check_support()
        self.invoker = Invoker(root, self._client_json)
        self.store = Store(state / "devhost.sqlite")
        orchestrations = self._of_type("orchestrationTrigger")
        self._activities = {f.durable_name.lower(): f for f in self._of_type("activityTrigger")}
        remember_repeated_work()
        self._check = DeterminismCheck() if check_determinism else None
        strategy = settings.version_match_strategy
        self.engine = Engine(
            self.store,
            {f.durable_name.lower(): self._checked(f, _orchestrator(f)) for f in orchestrations},
            list(self._activities),
            names=[f.durable_name for f in orchestrations],
            versioning=Versioning(settings.default_version, strategy)
            if strategy
            else Versioning(settings.default_version),
            timer_lead=harsh.timer_lead if harsh else None,
        )
        self._watch = DeterminismWatch(self._check, self.engine.known, _log.error) if self._check else None
        self._worker = Worker(
            self.engine,
            self._run_activity,
            max_activities=settings.max_activities,
            warn=_log.warning,
            harsh=harsh,
            episode_done=self._watch.episode_done if self._watch else None,
        )
        self._other_hubs: dict[str, DurableApi] = {}
        self._durable = DurableApi(self.engine, settings.hub, self._other_hub)
        self._router: Router[Function] = Router(self._build_routes())
        self._triggers = self._build_triggers()
        if not settings.has_extensions:
            self._warn_of_missing_extensions()

    def _checked(self, function: Function, call: OrchestratorCall) -> OrchestratorCall:
        if self._check is None:
            return call
        return self._check.wrap(function.durable_name, call, function.call)

    def _of_type(self, *kinds: str) -> list[Function]:
        """Those that can run."""
        return [f for f in self._functions if f.trigger_type in kinds and f.name not in self._errors]

    def _refuse(self, function: Function, error: IndexingError) -> None:
        self._errors[function.name] = error.of(function.name)
        _log.error("The '%s' function is in error: %s", function.name, self._errors[function.name])

    def _check_support(self) -> None:
        for function in self._functions:
            try:
                check(function)
            except IndexingError as error:
                self._refuse(function, error)

    def _build_routes(self) -> list[Route[Function]]:
        routes = []
        for function in self._of_type("httpTrigger"):
            template = "/".join(part for part in (self._settings.route_prefix, function.route) if part)
            try:
                routes.append(Route(resolve(template, os.environ), function.methods, function))
            except IndexingError as error:
                self._refuse(function, error)
            except ValueError as error:
                self._refuse(function, IndexingError(str(error)))
        return routes

    def _build_triggers(self) -> dict[str, Trigger]:
        services = TriggerServices(
            self._settings, os.environ, self._storage, self.store, self.invoker.invoke, self._harsh
        )
        built = {}
        for function in self._of_type(*BUILDERS):
            try:
                built[function.name] = build_trigger(function, services)
            except IndexingError as error:
                self._refuse(function, error)
        for function in self._of_type(*(set(TRIGGERS) - {"timerTrigger"})):
            if function.retry_policy:
                _log.warning(
                    "The retry policy of '%s' has no effect: it is for timer functions, not for %s",
                    function.name,
                    function.trigger_type,
                )
        return built

    def _warn_of_missing_extensions(self) -> None:
        kinds = {str(binding["type"]) for function in self._functions for binding in function.bindings}
        needed = sorted(kinds - {"httpTrigger", "http", "timerTrigger"})
        if needed:
            _log.warning(
                "host.json names no extensionBundle: without one, func start and Azure do not know %s",
                ", ".join(needed),
            )

    # --- life -----------------------------------------------------------------------------------------

    def open(self, public: Server, rpc: Server) -> None:
        self._public, self._rpc = public, rpc
        self._admin = AdminApi(
            self._functions, public.origin, self._settings.route_prefix, self._run_by_hand, self._errors
        )

    def start(self) -> None:
        self.invoker.start()
        for server in (self._public, self._rpc):
            server.start()
        prefix = self._settings.route_prefix
        console.say(console.function_list(self._functions, self._disabled, self._public.origin, prefix))
        console.say(f"Opened local http RPC endpoint: {self._rpc.origin}{_RPC_BASE}")
        console.say(f"devhost is listening on {self._public.origin}")
        if self._watch is not None:
            self._watch.start()
        self._worker.start()
        for trigger in self._triggers.values():
            trigger.start()

    def stop(self) -> None:
        """Takes no new work, waits for what runs. The servers go last: running functions may need them."""
        until = time.monotonic() + DRAIN_SECONDS

        def left() -> float:
            return max(0.0, until - time.monotonic())

        for trigger in self._triggers.values():
            trigger.stop()
        drained = self._worker.stop(left())
        for trigger in self._triggers.values():
            trigger.join(left())
        if not (self.invoker.wait_until_idle(left()) and drained):
            _log.warning(
                "some functions did not end within %d s; they run again at the next start", DRAIN_SECONDS
            )
        if self._watch is not None:
            self._watch.stop(min(left(), CHECK_SECONDS))
            if self._watch.left_out:
                _log.info(
                    "%d executions were not checked for determinism: too many at once", self._watch.left_out
                )
        for server in (self._public, self._rpc):
            server.stop()
        self.invoker.stop()
        self._calls.shutdown(wait=False, cancel_futures=True)

    # --- calls ----------------------------------------------------------------------------------------

    def _other_hub(self, hub: str) -> DurableApi:
        """A task hub that a call names is there from then on, with nothing that runs what it holds."""
        with self._hubs_lock:
            if hub.lower() not in self._other_hubs:
                store = Store(self._state / f"hub-{hub.lower()}.sqlite")
                self._other_hubs[hub.lower()] = DurableApi(Engine(store, {}, []), hub)
            return self._other_hubs[hub.lower()]

    def _client_json(self) -> str:
        return client_binding_json(self._settings.hub, self._public.origin, self._rpc.origin + _RPC_BASE)

    def _run_activity(self, name: str, input_text: str | None) -> str:
        return self.invoker.run_activity(self._activities[name.lower()], input_text)

    def _run_by_hand(self, function: Function, text: str | None) -> None:
        def call() -> None:
            try:
                trigger = self._triggers.get(function.name)
                if trigger is not None:
                    trigger.run_by_hand(text)
                elif function.trigger_type == "activityTrigger":
                    value = Datum("null" if text is None else text, "string")
                    self.invoker.invoke(function, Call(value, reason=CALLED))
                else:
                    why = self._errors.get(function.name) or f"{function.trigger_type} is not run that way"
                    _log.error("Functions.%s cannot be run by hand: %s", function.name, why)
            except Exception as error:
                _log.error("Functions.%s: %s: %s", function.name, type(error).__name__, error)

        threading.Thread(target=call, name="devhost-admin", daemon=True).start()

    async def serve_rpc(self, request: web.BaseRequest) -> web.StreamResponse:
        """What the durable client of the SDK talks to."""
        path = raw_path(request)
        return (
            await self._serve_durable(request, path[len(_RPC_BASE) :], rpc=True)
            if path.startswith(_RPC_BASE)
            else empty(404)
        )

    async def serve_public(self, request: web.BaseRequest) -> web.StreamResponse:
        path = raw_path(request)
        if path == "/":
            return web.Response(body=_LANDING_PAGE, headers={"Content-Type": "text/html"})
        if path.lower().startswith(_DURABLE_BASE):
            return await self._serve_durable(request, path[len(_DURABLE_BASE) :])
        if path.lower().startswith("/admin/"):
            body = await request.content.read()
            return self._admin.handle(
                request.method, path[len("/admin/") :], request.headers.get("Content-Type", ""), body
            )
        return await self._serve_function(request, path)

    async def _serve_durable(
        self, request: web.BaseRequest, path: str, *, rpc: bool = False
    ) -> web.StreamResponse:
        origin = f"http://{request.headers.get('Host') or HOST}"
        answer = await asyncio.get_running_loop().run_in_executor(
            self._calls,
            self._durable.handle,
            request.method,
            path,
            dict(request.rel_url.query),
            dict(request.headers),
            await request.content.read(),
            origin,
            origin + request.raw_path,
        )
        # The two addresses differ on the wire: an empty header goes out on the SDK's only, and its bodies are
        # chunked.
        headers = {name: value for name, value in answer.headers.items() if value or rpc}
        return response(answer.status, headers, answer.body, chunked=rpc)

    async def _serve_function(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        found = self._router.find(request.method, path)
        if found is None or found[0].name in self._errors:
            return empty(404)
        function, values = found
        try:
            value = await request_datum(request, self._public.origin, values)
            result = await self.invoker.invoke_http(function, value)
            return empty(200) if result is None else response_from(result)
        except Exception:
            # The run's log lines hold the traceback; the caller gets an empty answer, as from the real host.
            return empty(500)


def _orchestrator(function: Function) -> OrchestratorCall:
    name = str(function.trigger["name"])

    def call(context_json: str) -> str:
        with console.running(function.name):
            return str(function.call(**{name: OrchestrationContext(context_json)}))

    return call
