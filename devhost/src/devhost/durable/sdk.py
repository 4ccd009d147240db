"""The inside of the Durable SDK, as far as the host reaches into it. Written against version 1.7."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

from azure.durable_functions.models import DurableOrchestrationContext
from azure.durable_functions.models.Task import TimerTask
from azure.durable_functions.orchestrator import Orchestrator

_PACKAGE = "azure.durable_functions.models"
_SLOW = (
    (f"{_PACKAGE}.history.HistoryEvent", "dt_parse", 20_000),
    (f"{_PACKAGE}.TaskOrchestrationExecutor", "namedtuple", 16),
)


def remember_repeated_work() -> None:
    """Most of what a replay costs is reading the same timestamps again in every episode, and making the same
    class anew: the SDK's own functions, with a memory. What they give never changes, so nobody can tell."""
    for module_name, name, size in _SLOW:
        module: Any = import_module(module_name)
        function = getattr(module, name, None)
        if function is not None and not hasattr(function, "cache_info"):
            setattr(module, name, lru_cache(size)(function))


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
