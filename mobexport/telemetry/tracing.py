"""Spans, and the trace that steps hand on: text, `traceparent` of W3C Trace Context.

Source: https://www.w3.org/TR/trace-context/. Orchestrators never make spans, they only pass the text on:
replayed code must not depend on a clock or chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mobexport.errors import MobexportError

TRACEPARENT: Final = "traceparent"
_propagator = TraceContextTextMapPropagator()


@contextmanager
def span(
    name: str,
    *,
    parent: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: dict[str, str | int] | None = None,
) -> Iterator[Span]:
    """A span below `parent`, a traceparent (None or unreadable: below the present span).

    What is raised marks it as failed by code or class only: texts of exceptions may hold a URL.
    """
    tracer = trace.get_tracer("mobexport")
    with tracer.start_as_current_span(
        name,
        context=_context(parent),
        kind=kind,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as opened:
        try:
            yield opened
        except Exception as error:
            # Unless it is known better: what fails on purpose has said so itself.
            if "error.type" not in (getattr(opened, "attributes", None) or {}):
                fail(error.own_code if isinstance(error, MobexportError) else type(error).__name__)
            raise


def fail(code: str) -> None:
    """Marks the present span as failed, by an error code."""
    opened = trace.get_current_span()
    opened.set_status(Status(StatusCode.ERROR, code))
    opened.set_attribute("error.type", code)


def current() -> str | None:
    """The present span as a traceparent; None outside of any trace."""
    return headers().get(TRACEPARENT)


def headers() -> dict[str, str]:
    """Headers of an outgoing call, so that its receiver's spans are below the present one."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    carrier.pop("tracestate", None)
    return carrier


@contextmanager
def within(parent: str | None) -> Iterator[None]:
    """Makes a carried span the present one, for those who read it from there: the Durable SDK does."""
    token = contexts.attach(_context(parent) or contexts.get_current())
    try:
        yield
    finally:
        contexts.detach(token)


def choose_parent(invocation: str | None, carried: str | None) -> str | None:
    """The parent of a step's span: the host's span of the step, if it belongs to the carried trace."""
    if invocation and (not carried or invocation.split("-")[1:2] == carried.split("-")[1:2]):
        return invocation
    return carried


def strip_secrets(url: str) -> str:
    """The URL without anything secret: no user, no query, no fragment."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _context(parent: str | None) -> Context | None:
    if not parent:
        return None
    found = _propagator.extract({TRACEPARENT: parent}, context=Context())
    return found if trace.get_current_span(found).get_span_context().is_valid else None
