"""Runs of functions in the worker: values through the SDK's converters, threads as in the real one."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from azure.functions import meta

from devhost.console import log, muted, running
from devhost.durable.sdk import open_tasks, remember_repeated_work
from devhost.worker.indexing import LoadedFunction
from devhost.worker.messages import Answer, Datum, Failure, OpenTasks, Replay, Request, Run, Setup

_MOST_THREADS = 1000
"""Default of the worker: practically unlimited, so that functions calling each other cannot block."""


@dataclass(frozen=True)
class RetryContext:
    """Value of `context.retry_context`: every run is a first one."""

    retry_count: int = 0
    max_retry_count: int = 0
    rpc_exception: BaseException | None = None

    @property
    def exception(self) -> BaseException | None:
        return self.rpc_exception


@dataclass
class Context:
    """Value of a parameter called `context`."""

    invocation_id: str
    function_name: str
    function_directory: str
    retry_context: RetryContext = field(default_factory=RetryContext)
    trace_context: Any = field(
        default_factory=lambda: SimpleNamespace(
            Traceparent="", Tracestate="", Attributes={}, trace_parent="", trace_state="", attributes={}
        )
    )
    thread_local_storage: Any = field(default_factory=threading.local)


class Runner:
    """Runs what the host asks for; `send` takes each Answer or Failure, from any thread."""

    def __init__(
        self,
        setup: Setup,
        functions: Sequence[LoadedFunction],
        send: Callable[[Answer | Failure], None],
    ) -> None:
        self._setup = setup
        self._functions = {function.declared.name: function for function in functions}
        self._send = send
        self._pool = ThreadPoolExecutor(_thread_count(), "devhost-function")
        """Threads of sync functions, and of nothing else."""
        # The durable client keeps one HTTP session per process, so all coroutines must share one loop.
        self._loop = asyncio.new_event_loop()
        self._replays = ThreadPoolExecutor(1, "devhost-replay")
        threading.Thread(target=self._loop.run_forever, name="devhost-user-loop", daemon=True).start()
        if any(function.declared.trigger_type == "orchestrationTrigger" for function in functions):
            remember_repeated_work()

    def begin(self, number: int, request: Request) -> None:
        """Begin a request on the threads that it belongs to."""
        function = self._functions.get(request.function)
        if function is None:  # the file was changed, and read again by a new worker
            gone = LookupError(f"the app has no function {request.function!r} any more: start the host again")
            self._send(_failure(number, gone))
        elif not isinstance(request, Run):
            self._replays.submit(self._answer, number, lambda: self._replayed(function, request))
        elif function.is_async:
            asyncio.run_coroutine_threadsafe(self._answer_async(number, function, request), self._loop)
        else:
            self._pool.submit(self._answer, number, lambda: self._run(function, request))

    # --- on the threads -----------------------------------------------------------------------------------

    def _answer(self, number: int, run: Callable[[], Any]) -> None:
        try:
            self._send(Answer(number, pickle.dumps(run())))
        except BaseException as error:  # the function's own, sys.exit too, or a result that cannot be pickled
            self._send(_failure(number, error))

    async def _answer_async(self, number: int, function: LoadedFunction, request: Run) -> None:
        try:
            with running(request.function):
                result = await function.call(**self._arguments(function, request))
                answer = Answer(number, pickle.dumps(_encoded(function, result)))
            self._send(answer)
        except BaseException as error:
            self._send(_failure(number, error))

    def _run(self, function: LoadedFunction, request: Run) -> Datum | None:
        with running(request.function):
            return _encoded(function, function.call(**self._arguments(function, request)))

    def _replayed(self, function: LoadedFunction, request: Replay | OpenTasks) -> Any:
        with muted(), running(request.function):
            if isinstance(request, OpenTasks):
                return open_tasks(function.call, request.context)
            answer = self._run(function, Run(request.function, Datum(request.context, "string")))
            return None if answer is None else answer.value

    def _arguments(self, function: LoadedFunction, request: Run) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        metadata = {name: _for_sdk(value) for name, value in request.metadata.items()}
        for parameter in function.signature.inputs:
            is_trigger = parameter.binding is function.declared.trigger
            value = request.value if is_trigger else Datum(self._setup.client_json, "string")
            with_metadata = getattr(parameter.converter, "has_trigger_support", bool)()
            arguments[parameter.name] = parameter.decode(_for_sdk(value), metadata if with_metadata else {})
        if function.signature.wants_context:
            context = Context(request.run_id, request.function, str(self._setup.root))
            # Where a function can hand the id on to threads of its own, for their log lines.
            context.thread_local_storage.invocation_id = context.invocation_id
            arguments["context"] = context
        return arguments


def _encoded(function: LoadedFunction, result: Any) -> Datum | None:
    """Result of a function for the host. Raises RuntimeError, TypeError."""
    signature = function.signature
    if result is not None and signature.result is None:
        name = function.declared.name
        raise RuntimeError(f"function {name!r} without a $return binding returned a non-None value")
    return None if signature.result is None else _from_sdk(signature.result.encode(result))


def _for_sdk(datum: Datum) -> meta.Datum:
    return meta.Datum(_each(datum.value, Datum, _for_sdk), datum.type)


def _from_sdk(datum: meta.Datum) -> Datum:
    return Datum(_each(datum.value, meta.Datum, _from_sdk), datum.type)


def _each(value: Any, kind: type, convert: Callable[[Any], Any]) -> Any:
    """`value` with the data inside it converted, however deep in maps."""
    if isinstance(value, Mapping) and type(value) is dict:
        return {key: _each(item, kind, convert) for key, item in value.items()}
    return convert(value) if isinstance(value, kind) else value


def _failure(number: int, error: BaseException) -> Failure:
    return Failure(
        number,
        type(error).__name__,
        str(error),
        "".join(traceback.format_tb(error.__traceback__)),
        "".join(traceback.format_exception(error)),
    )


def _thread_count() -> int:
    name = "PYTHON_THREADPOOL_THREAD_COUNT"
    text = os.environ.get(name) or str(_MOST_THREADS)
    if text.strip().isdigit() and 1 <= int(text) <= _MOST_THREADS:
        return int(text)
    log.warning(
        "%s must be a number from 1 to %d, not %r: %d it is", name, _MOST_THREADS, text, _MOST_THREADS
    )
    return _MOST_THREADS
