"""HTTP functions as part of a trace: that of the host's request, or of the caller's `traceparent`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import azure.functions as func

from mobexport.telemetry import tracing
from mobexport.telemetry.entry import entered

_Function = TypeVar("_Function", bound=Callable[..., Any])


def traced(function: _Function) -> _Function:
    """Runs an HTTP function `(req, …)` in a span of its name; it stands below the other decorators.

    The worker hands `context` to whoever has a parameter of that name, so the function seems to have one.
    """
    given = inspect.signature(function)
    run: Any
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run(req: func.HttpRequest, *, context: Any = None, **bound: Any) -> func.HttpResponse:
            with _entered(function.__name__, req, context) as answered:
                return answered(await function(req, **bound))

    else:

        @functools.wraps(function)
        def run(req: func.HttpRequest, *, context: Any = None, **bound: Any) -> func.HttpResponse:
            with _entered(function.__name__, req, context) as answered:
                return answered(function(req, **bound))

    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, default=None)
    run.__signature__ = given.replace(parameters=[*given.parameters.values(), context])
    return cast("_Function", run)


@contextmanager
def _entered(
    name: str, req: func.HttpRequest, context: Any
) -> Iterator[Callable[[func.HttpResponse], func.HttpResponse]]:
    def answered(response: func.HttpResponse) -> func.HttpResponse:
        if response.status_code >= 500:
            tracing.fail(str(response.status_code))
        return response

    carried = req.headers.get(tracing.TRACEPARENT)
    with entered(name, req.route_params, carried=carried, invocation=context):
        yield answered
