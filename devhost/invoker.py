"""Runs functions: arguments through the SDK's own converters, threads as the real worker has them."""

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
from azure.functions import get_binding_registry
from azure.functions.meta import Datum

from devhost.console import logged_run
from devhost.errors import UserCodeError
from devhost.indexing import Function

_converters: Callable[[], Any] = get_binding_registry
CALLED = "This function was programmatically called via the host APIs."
Metadata = Mapping[str, Datum]


def _rewritten(result: str) -> str:
    """The host reads a result and writes it again: without white space and escapes it does not need."""
    return json.dumps(json.loads(result), ensure_ascii=False, separators=(",", ":"))


@dataclass
class RetryContext:
    """Always of the first try: devhost has no function-level retry."""

    retry_count: int = 0
    max_retry_count: int = 0
    rpc_exception: Any = None

    @property
    def exception(self) -> Any:
        return self.rpc_exception


@dataclass
class Context:
    """What a parameter called `context` gets."""

    invocation_id: str
    function_name: str
    function_directory: str
    trace_context: Any = field(
        default_factory=lambda: SimpleNamespace(
            Traceparent="", Tracestate="", Attributes={}, trace_parent="", trace_state="", attributes={}
        )
    )
    retry_context: RetryContext = field(default_factory=RetryContext)
    thread_local_storage: Any = field(default_factory=threading.local)


class Invoker:
    """`client_json` gives the value of a durableClient binding; asked at each run: the ports come late."""

    def __init__(self, root: Path, client_json: Callable[[], str]) -> None:
        self._root = root
        self._client_json = client_json
        # The real worker's pool is as good as unlimited too, so functions that call each other cannot block.
        size = int(os.environ.get("PYTHON_THREADPOOL_THREAD_COUNT") or 1000)
        self._pool = ThreadPoolExecutor(size, "devhost-function")
        # The durable client keeps one HTTP session per process, so all coroutines must share one loop.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="devhost-user-loop", daemon=True)
        self._running = 0
        self._idle = threading.Condition()

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Wait for what still runs; False if something does not end in time."""
        with self._idle:
            done = self._idle.wait_for(lambda: self._running == 0, timeout)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(1)
        return done

    def _count(self, by: int) -> None:
        with self._idle:
            self._running += by
            self._idle.notify_all()

    def invoke(self, function: Function, value: Datum, metadata: Metadata, reason: str) -> Any:
        """Run a function to its end, a sync one right here; gives what it returns, raises what it raises."""
        self._count(1)
        try:
            with logged_run(function, reason) as run_id:
                arguments = self._arguments(function, value, metadata, run_id)
                if function.is_async:
                    return asyncio.run_coroutine_threadsafe(function.call(**arguments), self._loop).result()
                return function.call(**arguments)
        finally:
            self._count(-1)

    async def invoke_http(self, function: Function, value: Datum) -> Datum:
        """Run an HTTP function from the server's loop; gives the encoded response."""
        self._count(1)
        try:
            with logged_run(function, CALLED) as run_id:
                arguments = self._arguments(function, value, {}, run_id)
                if function.is_async:
                    future = asyncio.run_coroutine_threadsafe(function.call(**arguments), self._loop)
                    result = await asyncio.shield(asyncio.wrap_future(future))
                else:
                    call = functools.partial(contextvars.copy_context().run, function.call, **arguments)
                    result = await asyncio.get_running_loop().run_in_executor(self._pool, call)
                return self._response(function, result)
        finally:
            self._count(-1)

    def run_activity(self, function: Function, input_text: str | None) -> str:
        """JSON text in, JSON text out. Raises UserCodeError."""
        try:
            text = "null" if input_text is None else input_text
            result = self.invoke(function, Datum(text, "string"), {}, CALLED)
            encoded = _converters().get("activityTrigger").encode(result, expected_type=None)
            return _rewritten(str(encoded.value))
        except Exception as error:
            stack = "".join(traceback.format_tb(error.__traceback__))
            raise UserCodeError(type(error).__name__, str(error), stack) from error

    def _arguments(self, function: Function, value: Datum, metadata: Metadata, run_id: str) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        for binding in function.bindings:
            name, kind = str(binding["name"]), str(binding["type"])
            if binding is function.trigger:
                arguments[name] = self._decode(function, name, kind, value, metadata)
            elif kind == "durableClient":
                arguments[name] = self._client_json()
        if function.wants_context:
            arguments["context"] = Context(run_id, function.name, str(self._root))
        return arguments

    @staticmethod
    def _decode(function: Function, name: str, kind: str, value: Datum, metadata: Metadata) -> Any:
        converter = _converters().get(kind)
        plain = function.annotations.get(name) in (str, bytes)
        if converter is None or (plain and kind != "activityTrigger"):
            return value.value
        return converter.decode(value, trigger_metadata=dict(metadata))

    @staticmethod
    def _response(function: Function, result: Any) -> Datum:
        if not any(b["name"] == "$return" for b in function.bindings):
            if result is None:
                return Datum("", "string")
            raise RuntimeError(f"function {function.name} without a $return binding returned a value")
        if not isinstance(result, (str, azure.functions.HttpResponse)):
            raise TypeError(
                f"unable to encode outgoing data: HttpResponse or str needed, not {type(result).__name__}"
            )
        encoded: Datum = _converters().get("http").encode(result, expected_type=None)
        return encoded
