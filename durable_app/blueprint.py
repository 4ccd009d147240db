"""Register functions: decorators that pass services, open a span and map errors.

A decorated function takes `services` as its first argument, so a test calls it as the host does, with its own
services. The host's call goes the same way, with those of the process.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import azure.durable_functions as df
import azure.functions as func

from durable_app.healing import look_once
from durable_app.http import Api, as_known, request_span
from durable_app.sdk import Client, Context, Steps
from mobexport.redact import brief, redact
from mobexport.telemetry import tracing
from mobexport.telemetry.entry import function_span
from mobexport.telemetry.logs import get_logger, quiet_sdks
from mobexport.wire import MAX_TEXT, Failure, Message, Outcome, Step

if TYPE_CHECKING:
    from mobexport.services import Services

_log = get_logger(__name__)
quiet_sdks()

_Message = TypeVar("_Message", bound=Message)
_Step = TypeVar("_Step", bound=Step)
_Resolve = Callable[[], "Services"]
Answer = dict[str, Any]
"""An Outcome in JSON, as an activity returns it to the host."""

registered: set[str] = set()
"""Names of all orchestrators and activities that this process has registered."""
routes: list[tuple[str, str]] = []
"""Route and method of every HTTP function, in the same way."""


class Blueprint:
    """A Blueprint with a typed decorator for each sort of function of this app."""

    def __init__(self) -> None:
        self.sdk: Any = df.Blueprint()

    # --- HTTP ---------------------------------------------------------------------------------------------

    def route(
        self, api: Api, route: str, *methods: str
    ) -> Callable[
        [Callable[[Services, func.HttpRequest], func.HttpResponse]],
        Callable[[Services, func.HttpRequest], func.HttpResponse],
    ]:
        """Registers an HTTP function `(services, req)` of that API."""

        def register(
            function: Callable[[Services, func.HttpRequest], func.HttpResponse],
        ) -> Callable[[Services, func.HttpRequest], func.HttpResponse]:
            def answer(resolve: _Resolve, req: func.HttpRequest, context: Any) -> func.HttpResponse:
                with request_span(function.__name__, req, context) as answered:
                    try:
                        services = resolve()
                        api.check(services, req)
                        return answered(function(services, req))
                    except Exception as error:  # noqa: BLE001 - every failure becomes an answer
                        return answered(api.error(as_known(error)))

            def run(req: Any, context: Any = None) -> func.HttpResponse:
                return answer(_services, req, context)

            self._http(api, route, *methods)(_named(run, function, req=func.HttpRequest))

            def called(services: Services, req: func.HttpRequest) -> func.HttpResponse:
                return answer(lambda: services, req, None)

            return _called(called, function.__name__)

        return register

    def client_route(
        self, api: Api, route: str, method: str
    ) -> Callable[
        [Callable[[Services, func.HttpRequest, Client], Awaitable[func.HttpResponse]]],
        Callable[[Services, func.HttpRequest, Client], Awaitable[func.HttpResponse]],
    ]:
        """Registers an HTTP function `async (services, req, client)` of that API."""

        def register(
            function: Callable[[Services, func.HttpRequest, Client], Awaitable[func.HttpResponse]],
        ) -> Callable[[Services, func.HttpRequest, Client], Awaitable[func.HttpResponse]]:
            async def answer(
                resolve: _Resolve, req: func.HttpRequest, client: Client, context: Any
            ) -> func.HttpResponse:
                with request_span(function.__name__, req, context) as answered:
                    try:
                        services = await asyncio.to_thread(resolve)
                        # May wait for Entra ID's keys: never on the event loop.
                        await asyncio.to_thread(api.check, services, req)
                        look_once(services, client)
                        return answered(await function(services, req, client))
                    except Exception as error:  # noqa: BLE001 - every failure becomes an answer
                        return answered(api.error(as_known(error)))

            async def run(req: Any, client: Any, context: Any = None) -> func.HttpResponse:
                return await answer(_services, req, client, context)

            self._http(api, route, method)(self._with_client(_named(run, function, req=func.HttpRequest)))

            async def called(services: Services, req: func.HttpRequest, client: Client) -> func.HttpResponse:
                return await answer(lambda: services, req, client, None)

            return _called(called, function.__name__)

        return register

    def open_route(
        self, route: str, method: str
    ) -> Callable[[Callable[[], func.HttpResponse]], Callable[[], func.HttpResponse]]:
        """Registers an HTTP function `()` that needs no key, no services and no trace."""

        def register(function: Callable[[], func.HttpResponse]) -> Callable[[], func.HttpResponse]:
            def run(req: Any) -> func.HttpResponse:
                del req
                return function()

            routes.append((route, method))
            self.sdk.route(route=route, methods=[method], auth_level=func.AuthLevel.ANONYMOUS)(
                _named(run, function, req=func.HttpRequest)
            )
            return function

        return register

    def _http(self, api: Api, route: str, *methods: str) -> Callable[[Any], Any]:
        routes.extend((route, method) for method in methods)
        level = func.AuthLevel.ANONYMOUS if api.anonymous else func.AuthLevel.FUNCTION
        decorate: Callable[[Any], Any] = self.sdk.route(route=route, methods=[*methods], auth_level=level)
        return decorate

    def _with_client(self, function: Any) -> Any:
        return self.sdk.durable_client_input(client_name="client")(function)

    # --- events and timers --------------------------------------------------------------------------------

    def blob_trigger(
        self, path: str, connection: str, *, event_grid: bool
    ) -> Callable[
        [Callable[[Services, str, Client], Awaitable[None]]],
        Callable[[Services, str, Client], Awaitable[None]],
    ]:
        """Registers `async (services, name, client)` for new blobs, found by Event Grid or by polling.

        Only the blob's name is passed on: the length is missing for an empty blob, the URL is encoded twice.
        """
        source = func.BlobSource.EVENT_GRID if event_grid else func.BlobSource.LOGS_AND_CONTAINER_SCAN

        def register(
            function: Callable[[Services, str, Client], Awaitable[None]],
        ) -> Callable[[Services, str, Client], Awaitable[None]]:
            async def run(blob: Any, client: Any) -> None:
                services = await asyncio.to_thread(_services)
                look_once(services, client)
                await function(services, blob.name or "", client)

            decorate = self.sdk.blob_trigger(arg_name="blob", path=path, connection=connection, source=source)
            decorate(self._with_client(_named(run, function, blob=func.InputStream)))
            return function

        return register

    def timer(
        self, schedule: str
    ) -> Callable[
        [Callable[[Services, Client], Awaitable[None]]], Callable[[Services, Client], Awaitable[None]]
    ]:
        """Registers `async (services, client)` for a schedule of six fields.

        The host's schedule status is not passed on: it may be missing, of the year 1, or a minute late; the
        registry knows what was done.
        """

        def register(
            function: Callable[[Services, Client], Awaitable[None]],
        ) -> Callable[[Services, Client], Awaitable[None]]:
            async def run(timer: Any, client: Any) -> None:
                del timer
                # No look for what was lost: the tick is one.
                await function(await asyncio.to_thread(_services), client)

            decorate = self.sdk.timer_trigger(arg_name="timer", schedule=schedule, use_monitor=True)
            decorate(self._with_client(_named(run, function, timer=func.TimerRequest)))
            return function

        return register

    # --- Durable ------------------------------------------------------------------------------------------

    def orchestrator(
        self, message: type[_Message]
    ) -> Callable[[Callable[[Context, _Message], Steps]], Callable[[Context], Steps]]:
        """Registers an orchestrator `(context, message)` under the function's name."""

        def register(function: Callable[[Context, _Message], Steps]) -> Callable[[Context], Steps]:
            def run(context: Context) -> Steps:
                found = yield from function(context, message.from_json(context.get_input()))
                return found.to_json() if isinstance(found, Outcome) else found

            run.__name__, run.__doc__ = function.__name__, function.__doc__
            registered.add(function.__name__)
            self.sdk.orchestration_trigger(context_name="context")(run)
            return run

        return register

    def activity(
        self, message: type[_Step]
    ) -> Callable[
        [Callable[[Services, _Step], dict[str, Any]]], Callable[[Services, dict[str, Any]], Answer]
    ]:
        """Registers an activity `(services, step) -> value` under the function's name."""

        def register(
            function: Callable[[Services, _Step], dict[str, Any]],
        ) -> Callable[[Services, dict[str, Any]], Answer]:
            name = function.__name__

            def answer(resolve: _Resolve, step: dict[str, Any], context: Any) -> Answer:
                with function_span(name, step, carried=step.get("trace"), invocation=context):
                    try:
                        given = message.from_json(step)
                        return Outcome(function(resolve(), given)).to_json()
                    except Exception as error:  # noqa: BLE001 - sorted right below
                        return failed_step(name, error).to_json()

            def run(step: Any, context: Any = None) -> Answer:
                return answer(_services, step, context)

            registered.add(name)
            self.sdk.activity_trigger(input_name="step")(_named(run, function))

            def called(services: Services, step: dict[str, Any]) -> Answer:
                return answer(lambda: services, step, None)

            return _called(called, name)

        return register

    def client_activity(
        self, message: type[_Step]
    ) -> Callable[
        [Callable[[Services, _Step, Client], Awaitable[dict[str, Any]]]],
        Callable[[Services, dict[str, Any], Client], Awaitable[Answer]],
    ]:
        """Registers an activity `async (services, step, client) -> value` with a durable client."""

        def register(
            function: Callable[[Services, _Step, Client], Awaitable[dict[str, Any]]],
        ) -> Callable[[Services, dict[str, Any], Client], Awaitable[Answer]]:
            name = function.__name__

            async def answer(resolve: _Resolve, step: dict[str, Any], client: Client, context: Any) -> Answer:
                with function_span(name, step, carried=step.get("trace"), invocation=context):
                    try:
                        given = message.from_json(step)
                        services = await asyncio.to_thread(resolve)
                        look_once(services, client)
                        return Outcome(await function(services, given, client)).to_json()
                    except Exception as error:  # noqa: BLE001 - sorted right below
                        return failed_step(name, error).to_json()

            async def run(step: Any, client: Any, context: Any = None) -> Answer:
                return await answer(_services, step, client, context)

            registered.add(name)
            decorated = self._with_client(_named(run, function))
            self.sdk.activity_trigger(input_name="step")(decorated)

            async def called(services: Services, step: dict[str, Any], client: Client) -> Answer:
                return await answer(lambda: services, step, client, None)

            return _called(called, name)

        return register


def failed_step(name: str, error: Exception) -> Outcome:
    """An expected failure as an outcome; anything else is raised again, without secrets."""
    from mobexport.storage import known_error

    known = known_error(error)
    if known is not None:
        tracing.fail(known.own_code)
        _log.warning("%s: %s: %s", name, known.own_code, redact(known.message))
        return Outcome(failure=Failure.of(known))
    tracing.fail(type(error).__name__)
    _log.error("%s failed\n%s", name, redact("".join(traceback.format_exception(error))))
    raise RuntimeError(brief(error, MAX_TEXT)) from None


def _services() -> Services:
    # Heavy, so imported with the first call that needs them, not at cold start.
    from mobexport.services import get_services

    return get_services()


def _named(run: Any, function: Any, **annotations: type) -> Any:
    """`run` under the function's name; the worker binds arguments by names and annotations."""
    run.__name__, run.__qualname__, run.__doc__ = function.__name__, function.__qualname__, function.__doc__
    run.__module__ = function.__module__
    run.__annotations__ = annotations
    return run


_Called = TypeVar("_Called", bound=Callable[..., Any])


def _called(run: _Called, name: str) -> _Called:
    run.__name__ = name
    return run
