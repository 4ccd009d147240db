"""A running app: start and end of its parts, and the HTTP calls that come in."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from aiohttp import web

from devhost import console
from devhost.admin_api import AdminApi
from devhost.durable.api import DurableApi
from devhost.durable.determinism_watch import DeterminismWatch
from devhost.durable.dispatcher import Dispatcher
from devhost.durable.store import Store
from devhost.functions import Functions
from devhost.http_server import Server, empty, raw_path, read_body, request_datum, response, response_from
from devhost.invoker import Invoker
from devhost.ports import HOST, RPC_BASE
from devhost.routing import Router
from devhost.triggers.background import Trigger
from devhost.worker.messages import Function
from devhost.worker.process import WorkerProcess

_log = logging.getLogger("devhost")
DRAIN_SECONDS = 30.0
CHECK_SECONDS = 2.0
_DURABLE_BASE = "/runtime/webhooks/durabletask/"
_LANDING_PAGE = b"""<!DOCTYPE html>
<html><head><title>Your Functions app is up and running</title></head>
<body><h1>Your Functions app is up and running</h1></body></html>
"""


@dataclass
class Host:
    """All parts of one running app, made by `devhost.building`."""

    functions: Functions
    route_prefix: str
    body_limit: int
    """Bytes of the largest request body."""
    origin: str
    """Public `http://host:port`."""
    rpc_origin: str
    """`http://host:port` of the RPC API, for the SDK's durable client."""
    store: Store
    invoker: Invoker
    dispatcher: Dispatcher
    worker: WorkerProcess
    watch: DeterminismWatch | None
    triggers: Mapping[str, Trigger]
    """By function name."""
    router: Router[Function]
    durable: DurableApi
    admin: AdminApi
    _servers: tuple[Server, ...] = ()
    _calls: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(64, "devhost-api"))
    """Many threads: a start with `timeout` holds one while it waits."""

    # --- life -----------------------------------------------------------------------------------------

    def start(self, *servers: Server) -> None:
        """Start servers, dispatcher and triggers; functions may need the servers, so these come first."""
        self._servers = servers
        for server in servers:
            server.start()
        functions = self.functions
        console.say(
            console.function_list(functions.enabled, functions.disabled, self.origin, self.route_prefix)
        )
        console.say(f"Opened local http RPC endpoint: {self.rpc_origin}{RPC_BASE}")
        console.say(f"devhost is listening on {self.origin}")
        if self.watch is not None:
            self.watch.start()
        self.dispatcher.start()
        for trigger in self.triggers.values():
            trigger.start()

    def stop(self) -> None:
        """Take no new work and wait for what runs; functions may need the servers, so these go last."""
        until = time.monotonic() + DRAIN_SECONDS

        def left() -> float:
            return max(0.0, until - time.monotonic())

        for trigger in self.triggers.values():
            trigger.stop()
        drained = self.dispatcher.stop(left())
        for trigger in self.triggers.values():
            trigger.join(left())
        if not (self.invoker.wait_until_idle(left()) and drained):
            _log.warning(
                "some functions did not end within %d s; they run again at the next start", DRAIN_SECONDS
            )
        if self.watch is not None:
            self.watch.stop(min(left(), CHECK_SECONDS))
            if self.watch.left_out:
                _log.info(
                    "%d executions were not checked for determinism: too many at once", self.watch.left_out
                )
        for server in self._servers:
            server.stop()
        self.worker.stop()
        self._calls.shutdown(wait=False, cancel_futures=True)

    # --- calls ----------------------------------------------------------------------------------------

    async def serve_rpc(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a call of the SDK's durable client."""
        path = raw_path(request)
        return (
            await self._serve_durable(request, path[len(RPC_BASE) :], rpc=True)
            if path.startswith(RPC_BASE)
            else empty(404)
        )

    async def serve_public(self, request: web.BaseRequest) -> web.StreamResponse:
        path = raw_path(request)
        if path == "/":
            return web.Response(body=_LANDING_PAGE, headers={"Content-Type": "text/html"})
        if path.lower().startswith(_DURABLE_BASE):
            return await self._serve_durable(request, path[len(_DURABLE_BASE) :])
        if path.lower().startswith("/admin/"):
            body = await read_body(request, self.body_limit)
            return self.admin.handle(
                request.method, path[len("/admin/") :], request.headers.get("Content-Type", ""), body
            )
        return await self._serve_function(request, path)

    async def _serve_durable(
        self, request: web.BaseRequest, path: str, *, rpc: bool = False
    ) -> web.StreamResponse:
        origin = f"http://{request.headers.get('Host') or HOST}"
        answer = await asyncio.get_running_loop().run_in_executor(
            self._calls,
            self.durable.handle,
            request.method,
            path,
            dict(request.rel_url.query),
            dict(request.headers),
            await read_body(request, self.body_limit),
            origin,
            origin + request.raw_path,
        )
        # The two addresses differ on the wire: an empty header goes out on the SDK's only, and its bodies are
        # chunked.
        headers = {name: value for name, value in answer.headers.items() if value or rpc}
        return response(answer.status, headers, answer.body, chunked=rpc)

    async def _serve_function(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        found = self.router.find(request.method, path)
        if found is None or found[0].name in self.functions.errors:
            return empty(404)
        function, values = found
        try:
            value = await request_datum(request, self.origin, values, self.body_limit)
            result = await self.invoker.invoke_http(function, value)
            return empty(200) if result is None else response_from(result)
        except Exception:
            # The run's log lines hold the traceback; the caller gets an empty answer, as from the real host.
            return empty(500)
