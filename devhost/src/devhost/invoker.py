"""Runs functions: values through the SDK's own converters, threads as the real worker has them."""

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

import azure.functions
from azure.functions.meta import Datum

from devhost.bindings.build import Bindings
from devhost.bindings.expressions import binding_data
from devhost.console import log, logged_run
from devhost.errors import UserCodeError
from devhost.indexing import Function
from devhost.retry import RetryContext

CALLED = "This function was programmatically called via the host APIs."
Metadata = Mapping[str, Datum]
_MOST_THREADS = 1000
"""The worker's default: as good as unlimited, so functions that call each other cannot block."""


def _rewritten(result: str) -> str:
    """The host reads a result and writes it again: without white space and escapes it does not need."""
    return json.dumps(json.loads(result), ensure_ascii=False, separators=(",", ":"))


@dataclass
class Context:
    """What a parameter called `context` gets."""

    invocation_id: str
    function_name: str
    function_directory: str
    retry_context: RetryContext
    trace_context: Any = field(
        default_factory=lambda: SimpleNamespace(
            Traceparent="", Tracestate="", Attributes={}, trace_parent="", trace_state="", attributes={}
        )
    )
    thread_local_storage: Any = field(default_factory=threading.local)


class _Out(azure.functions.Out[Any]):
    """What an output parameter gets."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        self._value = val

    def get(self) -> Any:
        return self._value


@dataclass(frozen=True)
class Call:
    """What starts a run: the trigger's value and metadata, and the lines in the log."""

    value: Datum
    metadata: Metadata = field(default_factory=dict)
    reason: str = CALLED
    details: Mapping[str, str] = field(default_factory=dict)
    retry: RetryContext | None = None


class Invoker:
    """`bindings` holds, by function name, what is read and written besides the trigger."""

    def __init__(self, root: Path, bindings: Mapping[str, Bindings]) -> None:
        self._root = root
        self._bindings = bindings
        self._pool = ThreadPoolExecutor(_thread_count(), "devhost-function")
        """Every sync function, and nothing else."""
        self._storage_pool = ThreadPoolExecutor(32, "devhost-bindings")
        """Inputs and outputs of HTTP functions, off the server's loop."""
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
        self._storage_pool.shutdown(wait=False, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(1)

    def _count(self, by: int) -> None:
        with self._idle:
            self._running += by
            self._idle.notify_all()

    def invoke(self, function: Function, call: Call) -> Datum | None:
        """Run a function to its end, outputs included; gives its encoded result, raises what it raises.

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
                return self._finish(function, call, arguments, future.result())
        finally:
            self._count(-1)

    async def invoke_http(self, function: Function, value: Datum) -> Datum | None:
        """Run an HTTP function from the server's loop; gives the encoded response."""
        self._count(1)
        loop, call = asyncio.get_running_loop(), Call(value)
        bindings = self._bindings.get(function.name)
        # Few functions have storage bindings: do not pay for a change of thread without one.
        waits = bindings is not None and any(b["type"] in ("blob", "queue") for b in function.bindings)
        try:
            with logged_run(function, call.reason) as run_id:
                prepare = functools.partial(self._arguments, function, call, run_id)
                arguments = await loop.run_in_executor(self._storage_pool, prepare) if waits else prepare()
                if function.is_async:
                    future = asyncio.run_coroutine_threadsafe(_awaited(function, arguments), self._loop)
                    result = await asyncio.shield(asyncio.wrap_future(future))
                else:
                    result = await loop.run_in_executor(self._pool, _in_this_context(function, arguments))
                finish = functools.partial(self._finish, function, call, arguments, result)
                return await loop.run_in_executor(self._storage_pool, finish) if waits else finish()
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
            if parameter.binding is function.trigger:
                value = call.value
            else:
                value = self._bindings[function.name].inputs[parameter.name].read(_data(function, call))
            with_metadata = getattr(parameter.converter, "has_trigger_support", bool)()
            arguments[parameter.name] = parameter.decode(value, call.metadata if with_metadata else {})
        arguments |= {parameter.name: _Out() for parameter in function.signature.outputs}
        if function.signature.wants_context:
            context = Context(run_id, function.name, str(self._root), call.retry or RetryContext())
            arguments["context"] = context
        return arguments

    def _finish(
        self, function: Function, call: Call, arguments: Mapping[str, Any], result: Any
    ) -> Datum | None:
        """Encode and write what the function gave. Raises RuntimeError, TypeError, AzureError."""
        signature = function.signature
        if result is not None and signature.result is None:
            raise RuntimeError(
                f"function {function.name!r} without a $return binding returned a non-None value"
            )
        encoded = [
            (parameter, parameter.encode(arguments[parameter.name].get()))
            for parameter in signature.outputs
            if arguments[parameter.name].get() is not None
        ]
        returned = None if signature.result is None else signature.result.encode(result)
        if signature.result is not None and returned is not None and returned.value is not None:
            encoded.append((signature.result, returned))
        bindings = self._bindings.get(function.name)
        for parameter, value in encoded:
            output = bindings.outputs.get(parameter.name) if bindings else None
            if output is not None:
                output.write(value, _data(function, call))
        return returned


def _data(function: Function, call: Call) -> dict[str, Any]:
    data = binding_data(call.value, call.metadata)
    sys = {"methodname": function.name}
    return {**data, "sys": {**sys, **data["sys"]} if isinstance(data.get("sys"), dict) else sys}


def _in_this_context(function: Function, arguments: Mapping[str, Any]) -> Callable[[], Any]:
    """Log lines of a function's thread carry its name: context variables do not follow by themselves."""

    def run() -> Any:
        _mark_thread(arguments)
        return function.call(**arguments)

    return functools.partial(contextvars.copy_context().run, run)


async def _awaited(function: Function, arguments: Mapping[str, Any]) -> Any:
    _mark_thread(arguments)
    return await function.call(**arguments)


def _mark_thread(arguments: Mapping[str, Any]) -> None:
    """A function hands the invocation id on to threads of its own, which mark their log lines with it."""
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
