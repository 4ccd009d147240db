"""The Durable SDK, typed, in one place: it ships no types, and only what stands here is used of it."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Awaitable, Callable, Generator, Mapping
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar, cast

import azure.durable_functions as df
import azure.functions as func

from mobexport.errors import MobexportError
from mobexport.redact import redact
from mobexport.telemetry import tracing
from mobexport.telemetry.entry import entered
from mobexport.telemetry.logs import get_logger, quiet_sdks

_log = get_logger(__name__)
quiet_sdks()

# Characters of a failure's text: the host repeats a text of an exception four times in the history.
_MAX_TEXT: Final = 1000

Outcome = dict[str, Any]
"""`{"ok": value}` or `{"error": {code, kind, message, retryable, …}}`: what an activity returns."""


class Task(Protocol):
    """Something an orchestrator can wait for."""

    @property
    def is_completed(self) -> bool: ...

    @property
    def result(self) -> Any: ...


class TimerTask(Task, Protocol):
    """A durable timer; one that lost a race must be cancelled, or the instance waits for it."""

    def cancel(self) -> None: ...


class Context(Protocol):
    """What an orchestrator may use of its context."""

    @property
    def instance_id(self) -> str: ...
    @property
    def current_utc_datetime(self) -> datetime: ...
    def get_input(self) -> Any: ...
    def call_activity(self, name: str, input_: Any = None) -> Task: ...
    def call_sub_orchestrator(
        self, name: str, input_: Any = None, instance_id: str | None = None
    ) -> Task: ...
    def create_timer(self, fire_at: datetime) -> TimerTask: ...
    def wait_for_external_event(self, name: str) -> Task: ...
    def task_any(self, activities: list[Task]) -> Task: ...
    def task_all(self, activities: list[Task]) -> Task: ...
    def continue_as_new(self, input_: Any) -> None: ...


class Client(Protocol):
    """What triggers and activities may use of the durable client."""

    async def start_new(
        self, orchestration_function_name: str, instance_id: str | None = None, client_input: Any = None
    ) -> str: ...
    async def raise_event(self, instance_id: str, event_name: str, event_data: Any = None) -> None: ...
    async def get_status(self, instance_id: str) -> Any: ...
    async def purge_instance_history_by(
        self, created_time_from: Any = None, created_time_to: Any = None, runtime_status: Any = None
    ) -> Any: ...


_Function = TypeVar("_Function", bound=Callable[..., Any])

Steps = Generator[Any, Any, Any]
"""An orchestrator, or a part of one: yields tasks, is sent their results."""


registered: set[str] = set()
"""Names of all orchestrators and activities that this process has registered."""


class Blueprint:
    """A Blueprint with typed decorators for what this app registers."""

    def __init__(self) -> None:
        self.sdk: Any = df.Blueprint()

    def http(self, route: str, method: str, *, anonymous: bool = False) -> Callable[[_Function], _Function]:
        """Registers an HTTP function; needs a function key unless `anonymous`."""
        level = func.AuthLevel.ANONYMOUS if anonymous else func.AuthLevel.FUNCTION
        return cast(
            "Callable[[_Function], _Function]",
            self.sdk.route(route=route, methods=[method], auth_level=level),
        )

    def blob_trigger(
        self, path: str, connection: str, *, event_grid: bool
    ) -> Callable[[_Function], _Function]:
        """Registers a blob trigger with the argument `blob`, told of blobs by Event Grid or by polling."""
        source = func.BlobSource.EVENT_GRID if event_grid else func.BlobSource.LOGS_AND_CONTAINER_SCAN
        return cast(
            "Callable[[_Function], _Function]",
            self.sdk.blob_trigger(arg_name="blob", path=path, connection=connection, source=source),
        )

    def timer(self, schedule: str) -> Callable[[_Function], _Function]:
        """Registers a timer with the argument `timer`; six fields, or the name of a setting in percents."""
        return cast(
            "Callable[[_Function], _Function]",
            self.sdk.timer_trigger(arg_name="timer", schedule=schedule, use_monitor=True),
        )

    @property
    def with_client(self) -> Callable[[_Function], _Function]:
        """Hands the function, which must be async, a durable client as `client`."""
        return cast("Callable[[_Function], _Function]", self.sdk.durable_client_input(client_name="client"))

    def orchestrator(self, function: Callable[[Context], Steps]) -> Callable[[Context], Steps]:
        """Registers an orchestrator under the function's name."""
        registered.add(function.__name__)
        self.sdk.orchestration_trigger(context_name="context")(function)
        return function

    def activity(self, function: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Outcome]:
        """Registers an activity `(step) -> value` under the function's name; it returns an Outcome."""

        @functools.wraps(function)
        def run(step: dict[str, Any], context: Any = None) -> Outcome:
            with entered(function.__name__, step, carried=step.get("trace"), invocation=context):
                try:
                    return {"ok": function(step)}
                except Exception as error:  # noqa: BLE001 - sorted right below
                    return _outcome(function.__name__, error)

        registered.add(function.__name__)
        self.sdk.activity_trigger(input_name="step")(_plain(run))
        return run

    def client_activity(
        self, function: Callable[[dict[str, Any], Client], Awaitable[Any]]
    ) -> Callable[[dict[str, Any], Client], Awaitable[Outcome]]:
        """Registers an activity `async (step, client) -> value` that carries a durable client."""

        @functools.wraps(function)
        async def run(step: dict[str, Any], client: Client, context: Any = None) -> Outcome:
            with entered(function.__name__, step, carried=step.get("trace"), invocation=context):
                try:
                    return {"ok": await function(step, client)}
                except Exception as error:  # noqa: BLE001 - sorted right below
                    return _outcome(function.__name__, error)

        registered.add(function.__name__)
        decorated = self.sdk.durable_client_input(client_name="client")(_plain(run))
        self.sdk.activity_trigger(input_name="step")(decorated)
        return run


def _plain(function: Any) -> Any:
    # The worker reads annotations to bind arguments; text annotations of this module mean nothing to it.
    function.__annotations__ = {}
    del function.__wrapped__
    return function


def _outcome(name: str, error: Exception) -> Outcome:
    """An expected failure as a value; anything else raised again, without what may be secret in it."""
    known: MobexportError | None
    if isinstance(error, MobexportError):
        known = error
    else:
        from mobexport.storage import as_remote_error

        known = as_remote_error(error)
    if known is not None:
        tracing.fail(known.own_code)
        _log.warning("%s: %s: %s", name, known.own_code, redact(known.message))
        return {"error": {**known.to_json(), "message": redact(known.message)[:_MAX_TEXT]}}
    tracing.fail(type(error).__name__)
    _log.error("%s failed\n%s", name, redact("".join(traceback.format_exception(error))))
    raise RuntimeError(redact(f"{type(error).__name__}: {error}")[:_MAX_TEXT]) from None


async def start_once(client: Client, name: str, instance_id: str, payload: Mapping[str, Any]) -> None:
    """Starts an orchestration under a fixed id; one that is there already is left alone.

    It carries on the trace of its `payload`, else the present one.
    """
    trace = payload.get("trace") or tracing.current()
    given = {key: value for key, value in payload.items() if key != "trace"}
    try:
        # The SDK hands the present span on to the host, whose own spans of the orchestration follow it.
        with tracing.within(trace):
            await client.start_new(name, instance_id, {**given, "trace": trace} if trace else given)
    except Exception as error:
        # The host answers 409 for an id that is still going; the SDK makes it a text.
        if "already exists" not in str(error):
            raise


async def is_going(client: Client, instance_id: str) -> bool:
    """Whether there is such an instance and it has not ended."""
    status = await client.get_status(instance_id)
    state = getattr(getattr(status, "runtime_status", None), "value", None)
    return state in ("Running", "Pending", "ContinuedAsNew", "Suspended")


async def wake(client: Client, instance_id: str, event: str) -> None:
    """Raises an event as a hint: an instance that is not there, or has ended, needs none.

    It carries nothing: data would arrive as text from this client, and as an object from Durable's HTTP API.
    """
    try:
        await client.raise_event(instance_id, event, None)
    except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions
        _log.info("no instance %s to wake (%s)", instance_id, type(error).__name__)
