"""The inside of the Durable SDK, as far as the host reaches into it. Written against version 1.7."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

from azure.durable_functions.models import DurableOrchestrationContext
from azure.durable_functions.models.Task import TimerTask
from azure.durable_functions.orchestrator import Orchestrator

_TIMESTAMPS = 20_000


def remember_timestamps() -> None:
    """Reading the timestamps of a history is most of what a replay costs, and every episode reads
    the same ones again: the SDK's own reader, with a memory. Times are immutable, so nobody can tell."""
    module: Any = import_module("azure.durable_functions.models.history.HistoryEvent")
    reader = getattr(module, "dt_parse", None)
    if reader is not None and not hasattr(reader, "cache_info"):
        module.dt_parse = lru_cache(_TIMESTAMPS)(reader)


def open_tasks(handle: Callable[[str], str], context: str) -> dict[int, bool] | None:
    """The tasks an orchestrator waits for, asked with this context (JSON text): by number, whether it is a
    timer. None if it raises, or is no orchestrator of the SDK's."""
    function: Callable[[Any], Any] | None = getattr(handle, "orchestrator_function", None)
    if function is None:
        return None
    own = DurableOrchestrationContext.from_json(context)
    own._input_expected_type = getattr(handle, "_df_input_type", None)  # noqa: SLF001 - as its create() does
    try:
        Orchestrator(function).handle(own)
    except Exception:
        return None
    return {number: _is_timer(task) for number, task in own.open_tasks.items() if isinstance(number, int)}


def _is_timer(task: Any) -> bool:
    """A retry waits for its next attempt by a timer without an action of its own."""
    return isinstance(task, TimerTask) or "timer" in str(getattr(task.action_repr, "metadata", ""))
