"""Functions of an app: those that run, and the errors of the others."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from devhost.errors import IndexingError
from devhost.supported import TRIGGERS, check
from devhost.worker.messages import Function

T = TypeVar("T")
_log = logging.getLogger("devhost")


class Functions:
    """All functions of an app; one that cannot run is reported, and the others run."""

    def __init__(self, declared: Sequence[Function]) -> None:
        self.disabled = [function.name for function in declared if _is_disabled(function)]
        self.enabled = [function for function in declared if function.name not in self.disabled]
        self.errors: dict[str, str] = {}
        """Why a function does not run, by name."""
        self.build((), check)

    def of_type(self, *triggers: str) -> list[Function]:
        """Functions that run, with one of these triggers or with any."""
        return [
            function
            for function in self.enabled
            if function.name not in self.errors and (not triggers or function.trigger_type in triggers)
        ]

    def build(self, triggers: Sequence[str], make: Callable[[Function], T]) -> dict[str, T]:
        """Results of `make` by function name; a function for which it raises ValueError does not run."""
        made = {}
        for function in self.of_type(*triggers):
            try:
                made[function.name] = make(function)
            except IndexingError as error:
                self._refuse(function, error)
            except ValueError as error:
                self._refuse(function, IndexingError(str(error)))
        return made

    def _refuse(self, function: Function, error: IndexingError) -> None:
        self.errors[function.name] = error.of(function.name)
        _log.error("The '%s' function is in error: %s", function.name, self.errors[function.name])

    def warn_of_retry_policies(self) -> None:
        """Name policies without effect: the real host knows them for timers, where `check` refuses them."""
        for function in self.of_type(*TRIGGERS):
            if function.retry_policy:
                _log.warning(
                    "The retry policy of '%s' has no effect: it is for timer functions, not for %s",
                    function.name,
                    function.trigger_type,
                )

    def warn_of_missing_extensions(self) -> None:
        """Name the bindings that need an extension bundle, for a host.json without one."""
        kinds = {str(binding["type"]) for function in self.enabled for binding in function.bindings}
        needed = sorted(kinds - {"httpTrigger", "http", "timerTrigger"})
        if needed:
            _log.warning(
                "host.json names no extensionBundle: without one, func start and Azure do not know %s",
                ", ".join(needed),
            )


def _is_disabled(function: Function) -> bool:
    names = (f"AzureWebJobs.{function.name}.Disabled", f"AzureWebJobs_{function.name}_Disabled")
    return any(os.environ.get(name, "").lower() in ("true", "1") for name in names)
