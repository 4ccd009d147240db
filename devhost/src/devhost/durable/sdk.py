"""Internals of the Durable SDK that the host uses. Written against version 1.7."""

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
    """Cache the two SDK functions on which a replay spends most of its time: both are pure.

    One reads the same timestamps in every episode, the other makes the same class.
    """
    for module_name, name, size in _SLOW:
        module: Any = import_module(module_name)
        function = getattr(module, name, None)
        if function is not None and not hasattr(function, "cache_info"):
            setattr(module, name, lru_cache(size)(function))


def open_tasks(handle: Callable[[str], str], context: str) -> dict[int, bool] | None:
    """Tasks an orchestrator waits for in this context (JSON text): whether each is a timer, by number.

    None if it raises, or is no orchestrator of the SDK's.
    """
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
    """Whether a task is a timer; that of a retry has no action of its own."""
    return isinstance(task, TimerTask) or "timer" in str(getattr(task.action_repr, "metadata", ""))
