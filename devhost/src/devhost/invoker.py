"""Runs of functions: values through the SDK's converters, threads as in the real worker."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import json
import os
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from azure.functions.meta import Datum

from devhost.console import log, logged_run
from devhost.errors import UserCodeError
from devhost.indexing import Function

CALLED = "This function was programmatically called via the host APIs."
Metadata = Mapping[str, Datum]
_MOST_THREADS = 1000
"""Default of the worker: practically unlimited, so that functions calling each other cannot block."""


def _rewritten(result: str) -> str:
    """A result as the host rewrites it: without needless white space and escapes."""
    return json.dumps(json.loads(result), ensure_ascii=False, separators=(",", ":"))


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


@dataclass(frozen=True)
class Call:
    """Cause of a run: the trigger's value and metadata, reason and details for the log."""

    value: Datum
    metadata: Metadata = field(default_factory=dict)
    reason: str = CALLED
    details: Mapping[str, str] = field(default_factory=dict)


class Invoker:
    """Runs functions to their end; `client_json` is the value of a durable client."""

    def __init__(self, root: Path, client_json: str) -> None:
        self._root = root
        self._client_json = client_json
        self._pool = ThreadPoolExecutor(_thread_count(), "devhost-function")
        """Threads of sync functions, and of nothing else."""
        # The durable client keeps one HTTP session per process, so all coroutines must share one loop.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="devhost-user-loop", daemon=True)
        self._running = 0
        self._idle = threading.Condition()

    def start(self) -> None:
        self._thread.start()

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait for what still runs; False if something does not end in time."""
        with self._idle:
            return self._idle.wait_for(lambda: self._running == 0, timeout)

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(1)

    def _count(self, by: int) -> None:
        with self._idle:
            self._running += by
            self._idle.notify_all()

    def invoke(self, function: Function, call: Call) -> Datum | None:
        """Run a function to its end; gives its encoded result, raises what it raises.

        Waits in the calling thread, which must not be one of the pool's.
        """
        self._count(1)
        try:
            with logged_run(function, call.reason, call.details) as run_id:
                arguments = self._arguments(function, call, run_id)
                if function.is_async:
                    future = asyncio.run_coroutine_threadsafe(_awaited(function, arguments), self._loop)
                else:
                    future = self._pool.submit(_in_this_context(function, arguments))
                return _encoded(function, future.result())
        finally:
            self._count(-1)

    async def invoke_http(self, function: Function, value: Datum) -> Datum | None:
        """Run an HTTP function from the server's loop; gives the encoded response."""
        self._count(1)
        loop, call = asyncio.get_running_loop(), Call(value)
        try:
            with logged_run(function, call.reason) as run_id:
                arguments = self._arguments(function, call, run_id)
                if function.is_async:
                    future = asyncio.run_coroutine_threadsafe(_awaited(function, arguments), self._loop)
                    result = await asyncio.shield(asyncio.wrap_future(future))
                else:
                    result = await loop.run_in_executor(self._pool, _in_this_context(function, arguments))
                return _encoded(function, result)
        finally:
            self._count(-1)

    def run_activity(self, function: Function, input_text: str | None) -> str:
        """JSON text in, JSON text out. Raises UserCodeError."""
        try:
            result = self.invoke(
                function, Call(Datum("null" if input_text is None else input_text, "string"))
            )
            assert result is not None
            return _rewritten(str(result.value))
        except Exception as error:
            stack = "".join(traceback.format_tb(error.__traceback__))
            raise UserCodeError(type(error).__name__, str(error), stack) from error

    def _arguments(self, function: Function, call: Call, run_id: str) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        for parameter in function.signature.inputs:
            is_trigger = parameter.binding is function.trigger
            value = call.value if is_trigger else Datum(self._client_json, "string")
            with_metadata = getattr(parameter.converter, "has_trigger_support", bool)()
            arguments[parameter.name] = parameter.decode(value, call.metadata if with_metadata else {})
        if function.signature.wants_context:
            arguments["context"] = Context(run_id, function.name, str(self._root))
        return arguments


def _encoded(function: Function, result: Any) -> Datum | None:
    """Result of a function for the host. Raises RuntimeError, TypeError."""
    signature = function.signature
    if result is not None and signature.result is None:
        raise RuntimeError(f"function {function.name!r} without a $return binding returned a non-None value")
    return None if signature.result is None else signature.result.encode(result)


def _in_this_context(function: Function, arguments: Mapping[str, Any]) -> Callable[[], Any]:
    """A call that keeps the context variables, so that log lines of its thread carry the function's name."""

    def run() -> Any:
        _mark_thread(arguments)
        return function.call(**arguments)

    return functools.partial(contextvars.copy_context().run, run)


async def _awaited(function: Function, arguments: Mapping[str, Any]) -> Any:
    _mark_thread(arguments)
    return await function.call(**arguments)


def _mark_thread(arguments: Mapping[str, Any]) -> None:
    """Store the invocation id where a function can hand it on to threads of its own, for their log lines."""
    context = arguments.get("context")
    if isinstance(context, Context):
        context.thread_local_storage.invocation_id = context.invocation_id


def _thread_count() -> int:
    name = "PYTHON_THREADPOOL_THREAD_COUNT"
    text = os.environ.get(name) or str(_MOST_THREADS)
    if text.strip().isdigit() and 1 <= int(text) <= _MOST_THREADS:
        return int(text)
    log.warning(
        "%s must be a number from 1 to %d, not %r: %d it is", name, _MOST_THREADS, text, _MOST_THREADS
    )
    return _MOST_THREADS
