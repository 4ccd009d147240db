"""The functions of an app that run, and why the others do not."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from devhost.errors import IndexingError
from devhost.indexing import Function
from devhost.supported import TRIGGERS, check

T = TypeVar("T")
_log = logging.getLogger("devhost")


class Functions:
    """A function that cannot run is reported; the others go on, as on the real host."""

    def __init__(self, declared: Sequence[Function]) -> None:
        self.disabled = [function.name for function in declared if _is_disabled(function)]
        self.enabled = [function for function in declared if function.name not in self.disabled]
        self.errors: dict[str, str] = {}
        """Why a function does not run, by name."""
        self.build((), check)

    def of_type(self, *triggers: str) -> list[Function]:
        """Those that run; all without a trigger's name."""
        return [
            function
            for function in self.enabled
            if function.name not in self.errors and (not triggers or function.trigger_type in triggers)
        ]

    def build(self, triggers: Sequence[str], make: Callable[[Function], T]) -> dict[str, T]:
        """What `make` makes of each, by name; a function for which it raises ValueError does not run."""
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
        """The real host takes them for timers alone, and `check` refuses those."""
        for function in self.of_type(*TRIGGERS):
            if function.retry_policy:
                _log.warning(
                    "The retry policy of '%s' has no effect: it is for timer functions, not for %s",
                    function.name,
                    function.trigger_type,
                )

    def warn_of_missing_extensions(self) -> None:
        """For a host.json without an extension bundle."""
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
