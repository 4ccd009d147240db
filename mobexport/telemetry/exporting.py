"""Set up the exporter of spans and metrics, once, at the first function that runs; off by default.

TELEMETRY_EXPORTER names an exporter by its entry point, as OpenTelemetry's own settings do. So any installed
exporter can be used, and none is known here.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Final

from mobexport.errors import ConfigError
from mobexport.redact import redact
from mobexport.telemetry.logs import get_logger

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

SETTING: Final = "TELEMETRY_EXPORTER"
_GROUPS: Final = ("opentelemetry_traces_exporter", "opentelemetry_metrics_exporter")
_log = get_logger(__name__)
_lock = threading.Lock()
_done = False
_problem: ConfigError | None = None


def set_up() -> None:
    """Installs the exporter at the first call.

    Its errors are logged, and shown by `check`: a broken exporter must not stop the app.
    """
    global _done, _problem
    if _done:
        return
    with _lock:
        if _done:
            return
        name = os.environ.get(SETTING, "").strip()
        try:
            if name:
                _install(*(_find(group, name) for group in _GROUPS))
        except ConfigError as error:
            _problem = error
        except Exception as error:  # noqa: BLE001 - an exporter may raise anything
            _problem = ConfigError(f"{SETTING}: {name!r} cannot start: {redact(str(error))[:300]}")
        if _problem is not None:
            _log.error("no spans, no metrics: %s", _problem.message)
        _done = True


def check() -> None:
    """Raises ConfigError if the configured exporter is not installed or cannot start."""
    set_up()
    if _problem is not None:
        raise _problem


def _find(group: str, name: str) -> EntryPoint:
    from importlib.metadata import entry_points

    installed = {point.name: point for point in entry_points(group=group)}
    if name not in installed:
        raise ConfigError(
            f"{SETTING}: there is no exporter {name!r}; installed: {', '.join(sorted(installed)) or 'none'}."
            " Add its package to requirements.in and run make lock"
        )
    return installed[name]


def _install(spans: EntryPoint, measures: EntryPoint) -> None:
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    # The host's own name in telemetry; if it is not set, OTEL_SERVICE_NAME counts.
    name = os.environ.get("WEBSITE_SITE_NAME", "").lower()
    resource = Resource.create({"service.name": name} if name else {})
    # A child would not be recorded if the host does not sample; but an export has few spans.
    sampler: Any = None if os.environ.get("OTEL_TRACES_SAMPLER") else ALWAYS_ON
    tracers = TracerProvider(sampler=sampler, resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(spans.load()()))
    reader = PeriodicExportingMetricReader(measures.load()())
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(MeterProvider(metric_readers=[reader], resource=resource))
