"""The span of one call of a function, and its ids in the logs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from mobexport.telemetry import logs, tracing
from mobexport.telemetry.exporting import set_up

_IDS: Final = ("exportId", "attempt", "taskId", "batchId")
_ID: Final = re.compile(r"[A-Za-z0-9-]{1,120}")


@contextmanager
def function_span(
    name: str, given: Mapping[str, Any], *, carried: str | None = None, invocation: Any = None
) -> Iterator[None]:
    """Work of the function `name` for the ids in `given`, in the trace that was `carried` to it.

    `invocation` is the host's context of this run (`azure.functions.Context`), which knows a trace as well.
    """
    set_up()
    ids = {key: given[key] for key in _IDS if _ID.fullmatch(str(given.get(key, "")))}
    parent = tracing.choose_parent(_traceparent(invocation), carried)
    with logs.log_context(ids), tracing.span(name, parent=parent, attributes=_attributes(ids)) as opened:
        yield
        # Also those that were noted on the way.
        opened.set_attributes(_attributes(logs.about()))


def _traceparent(invocation: Any) -> str | None:
    found = getattr(getattr(invocation, "trace_context", None), "trace_parent", None)
    return str(found) if found else None


def _attributes(ids: Mapping[str, str | int]) -> dict[str, str | int]:
    words = {key: re.sub(r"(?=[A-Z])", "_", key).lower() for key in ids}
    return {f"mobexport.{words[key]}": value for key, value in ids.items()}
