"""Puts the host together: what is started in which order, and how it ends."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from aiohttp import web
from azure.functions import OrchestrationContext
from azure.functions.meta import Datum

from devhost import azurite, console
from devhost.admin_api import AdminApi
from devhost.durable import http_activity
from devhost.durable.api import DurableApi
from devhost.durable.client_binding import client_binding_json
from devhost.durable.determinism import DeterminismCheck
from devhost.durable.determinism_watch import DeterminismWatch
from devhost.durable.engine import Engine
from devhost.durable.episode import OrchestratorCall
from devhost.durable.sdk import remember_timestamps
from devhost.durable.store import Store
from devhost.durable.versions import Versioning
from devhost.durable.worker import Worker
from devhost.errors import HostError, StateLockedError
from devhost.http_server import (
    HOST,
    Server,
    empty,
    open_port,
    raw_path,
    request_datum,
    response,
    response_from,
)
from devhost.indexing import Function, load_functions
from devhost.invoker import CALLED, Invoker
from devhost.routing import Route, Router
from devhost.settings import (
    HostJson,
    UnresolvedSettingError,
    apply_local_settings,
    read_host_json,
    resolve,
)
from devhost.triggers.blob import BlobTrigger, parse_path
from devhost.triggers.ncrontab import parse_schedule
from devhost.triggers.timer import TimerTrigger, timer_datum

_log = logging.getLogger("devhost")
DRAIN_SECONDS = 30.0
CHECK_SECONDS = 2.0
_DURABLE_BASE = "/runtime/webhooks/durabletask/"
_RPC_BASE = "/durabletask/"
_LANDING_PAGE = b"""<!DOCTYPE html>
<html><head><title>Your Functions app is up and running</title></head>
<body><h1>Your Functions app is up and running</h1></body></html>
"""
_T = TypeVar("_T")


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """One host per state folder. The lock goes with the process, however that ends."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise HostError(f"the state folder {state} cannot be used: {error}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StateLockedError(
                f"another host uses the state folder {state}; stop it, or choose another one with --state"
            ) from None
        yield
    finally:
        os.close(descriptor)


def run(root: Path, port: int, state: Path, stop: threading.Event, *, check_determinism: bool = True) -> int:
    """Run the app of a folder until `stop` is set; gives the exit code. Raises HostError when it cannot."""
    if not root.is_dir():
        raise HostError(f"there is no folder {root}")
    console.set_up_logging()
    with ExitStack() as stack:
        stack.enter_context(locked(state))
        listeners = [stack.enter_context(open_port(number)) for number in (port, 0)]
        os.environ["WEBSITE_HOSTNAME"] = f"{HOST}:{listeners[0].getsockname()[1]}"
        os.environ["AzureWebJobsScriptRoot"] = str(root)  # noqa: SIM112 - the name the SDK reads
        os.environ["AZURE_FUNCTIONS_ENVIRONMENT"] = "Development"
        apply_local_settings(root, os.environ, console.say)
        os.environ.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")
        settings = read_host_json(root, os.environ)
        os.chdir(root)
        functions = [f for f in load_functions(root) if not _is_disabled(f)]
        if azurite.is_needed(os.environ):
            emulator = azurite.Azurite(root, state / "azurite")
            console.say("Starting Azurite (nothing listens on port 10000) …")
            stack.callback(emulator.stop)
            emulator.start()
        host = Host(root, state, settings, functions, check_determinism=check_determinism)
        stack.callback(host.store.close)
        public, rpc = listeners
        host.open(
            Server(public, host.serve_public, "devhost-http"), Server(rpc, host.serve_rpc, "devhost-rpc")
        )
        host.start()
        stop.wait()
        console.say("Stopping …")
        host.stop()
    return 0


def _is_disabled(function: Function) -> bool:
    for name in (f"AzureWebJobs.{function.name}.Disabled", f"AzureWebJobs_{function.name}_Disabled"):
        if os.environ.get(name, "").lower() in ("true", "1"):
            console.say(f"Function {function.name} is disabled.")
            return True
    return False


class Host:
    """All parts of one running app."""

    def __init__(
        self,
        root: Path,
        state: Path,
        settings: HostJson,
        functions: list[Function],
        *,
        check_determinism: bool = True,
    ) -> None:
        self._settings = settings
        self._functions = functions
        self._state = state
        self._hubs_lock = threading.Lock()
        self._errors: dict[str, str] = {}
        """Why a function does not run, by name: the others go on, as on the real host."""
        self._calls = ThreadPoolExecutor(64, "devhost-api")
        """Many: a start with `timeout` holds one while it waits."""
        self.invoker = Invoker(root, self._client_json)
        self.store = Store(state / "devhost.sqlite")
        orchestrations = self._of_type("orchestrationTrigger")
        self._activities = {f.durable_name.lower(): f for f in self._of_type("activityTrigger")}
        remember_timestamps()
        self._check = DeterminismCheck() if check_determinism else None
        strategy = _strategy(settings)
        self.engine = Engine(
            self.store,
            {f.durable_name.lower(): self._checked(f, _orchestrator(f)) for f in orchestrations},
            list(self._activities),
            names=[f.durable_name for f in orchestrations],
            versioning=Versioning(settings.default_version, strategy)
            if strategy
            else Versioning(settings.default_version),
        )
        self._watch = DeterminismWatch(self._check, self.engine.known, _log.error) if self._check else None
        self._worker = Worker(
            self.engine,
            self._run_activity,
            max_activities=settings.max_activities,
            warn=_log.warning,
            **({"episode_done": self._watch.episode_done} if self._watch else {}),
        )
        self._other_hubs: dict[str, DurableApi] = {}
        self._durable = DurableApi(self.engine, settings.hub, self._other_hub)
        self._router: Router[Function] = Router(list(self._each("httpTrigger", self._route)))
        self._timers = {t[0]: t[1] for t in self._each("timerTrigger", self._timer)}
        self._blobs = {t[0]: t[1] for t in self._each("blobTrigger", self._blob)}
        self._refuse_the_rest()

    def _checked(self, function: Function, call: OrchestratorCall) -> OrchestratorCall:
        if self._check is None:
            return call
        return self._check.wrap(function.durable_name, call, function.call)

    def _of_type(self, kind: str) -> list[Function]:
        return [f for f in self._functions if f.trigger_type == kind]

    def _each(self, kind: str, build: Callable[[Function], _T]) -> Iterator[_T]:
        for function in self._of_type(kind):
            try:
                yield build(function)
            except UnresolvedSettingError as error:
                self._refuse(function, f"Microsoft.Azure.WebJobs.Host: {error}")
            except ValueError as error:
                source = "Microsoft.Azure.WebJobs.Extensions: " if kind == "timerTrigger" else ""
                self._refuse(function, f"{source}{error}")

    def _refuse(self, function: Function, cause: str) -> None:
        self._errors[function.name] = f"Error indexing method 'Functions.{function.name}'. {cause}"
        _log.error(self._errors[function.name])

    def _refuse_the_rest(self) -> None:
        known = ("httpTrigger", "timerTrigger", "blobTrigger", "orchestrationTrigger", "activityTrigger")
        for function in self._functions:
            if function.trigger_type not in known:
                self._refuse(function, f"devhost does not run {function.trigger_type} functions yet.")
            for binding in function.bindings:
                if binding is not function.trigger and binding["type"] not in ("http", "durableClient"):
                    self._refuse(function, f"devhost does not support the binding '{binding['type']}' yet.")

    # --- what each kind of trigger becomes ------------------------------------------------------------

    def _route(self, function: Function) -> Route[Function]:
        template = "/".join(part for part in (self._settings.route_prefix, function.route) if part)
        return Route(template, function.methods, function)

    def _timer(self, function: Function) -> tuple[str, TimerTrigger]:
        trigger = function.trigger
        zone = os.environ.get("WEBSITE_TIME_ZONE")
        try:
            schedule = parse_schedule(
                resolve(str(trigger["schedule"]), os.environ), ZoneInfo(zone) if zone else None
            )
        except KeyError as error:
            raise ValueError(f"the time zone {error} is not known") from error

        def fire(value: Datum, reason: str) -> None:
            self.invoker.invoke(function, value, {}, reason)

        return function.name, TimerTrigger(
            function.name,
            schedule,
            self.store,
            fire,
            run_on_startup=bool(trigger.get("runOnStartup")),
            monitor=trigger.get("useMonitor") is not False,
        )

    def _blob(self, function: Function) -> tuple[str, BlobTrigger]:
        connection = str(function.trigger.get("connection") or "AzureWebJobsStorage")
        azurite.check_connection(connection, os.environ)
        path = parse_path(resolve(str(function.trigger["path"]), os.environ))

        def fire(value: Datum, metadata: Mapping[str, Datum], reason: str) -> None:
            self.invoker.invoke(function, value, metadata, reason)

        return function.name, BlobTrigger(function.name, path, connection, self.store, fire, os.environ)

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
        console.say(console.function_list(self._functions, self._public.origin, self._settings.route_prefix))
        console.say(f"Opened local http RPC endpoint: {self._rpc.origin}{_RPC_BASE}")
        console.say(f"devhost is listening on {self._public.origin}")
        if self._watch is not None:
            self._watch.start()
        self._worker.start()
        triggers: list[TimerTrigger | BlobTrigger] = [*self._timers.values(), *self._blobs.values()]
        for trigger in triggers:
            trigger.start()

    def stop(self) -> None:
        """Takes no new work, waits for what runs. The servers go last: running functions may need them."""
        until = time.monotonic() + DRAIN_SECONDS

        def left() -> float:
            return max(0.0, until - time.monotonic())

        triggers: list[TimerTrigger | BlobTrigger] = [*self._timers.values(), *self._blobs.values()]
        for trigger in triggers:
            trigger.stop()
        drained = self._worker.stop(left())
        for trigger in triggers:
            trigger.join(left())
        if not (self.invoker.stop(left()) and drained):
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
        if name == http_activity.NAME:
            return http_activity.run(input_text or "{}")
        return self.invoker.run_activity(self._activities[name.lower()], input_text)

    def _run_by_hand(self, function: Function, text: str | None) -> None:
        def call() -> None:
            try:
                kind = function.trigger_type
                if kind == "timerTrigger":
                    timer = self._timers.get(function.name)
                    value = timer_datum(timer.status() if timer else None, past_due=False)
                    self.invoker.invoke(function, value, {}, CALLED)
                elif kind == "blobTrigger" and function.name in self._blobs:
                    self._blobs[function.name].run_once(text or "", CALLED)
                elif kind == "activityTrigger":
                    self.invoker.invoke(
                        function, Datum("null" if text is None else text, "string"), {}, CALLED
                    )
                else:
                    _log.error("Functions.%s (%s) cannot be run by hand", function.name, kind)
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
            return response_from(
                await self.invoker.invoke_http(
                    function, await request_datum(request, self._public.origin, values)
                )
            )
        except Exception:
            # The run's log lines hold the traceback; the caller gets an empty answer, as from the real host.
            return empty(500)


def _orchestrator(function: Function) -> OrchestratorCall:
    name = str(function.trigger["name"])

    def call(context_json: str) -> str:
        with console.running(function.name):
            return str(function.call(**{name: OrchestrationContext(context_json)}))

    return call


def _strategy(settings: HostJson) -> str | None:
    extensions = (settings.raw or {}).get("extensions")
    durable = extensions.get("durableTask") if isinstance(extensions, dict) else None
    found = durable.get("versionMatchStrategy") if isinstance(durable, dict) else None
    return str(found) if found else None
