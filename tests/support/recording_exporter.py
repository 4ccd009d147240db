"""An OpenTelemetry exporter that writes what it is given to a file, for an app in a process of its own.

`installed(folder)` makes it findable by the name `recording`, as if a package had been installed.
"""

import json
import os
from pathlib import Path
from typing import Any

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_FILE = "RECORDING_EXPORTER_FILE"


def installed(folder: Path, into: Path) -> dict[str, str]:
    """Settings of an app that records into the file `into`; `folder` becomes a place of packages."""
    info = folder / "recording_exporter-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: recording-exporter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[opentelemetry_traces_exporter]\nrecording = recording_exporter:Spans\n"
        "[opentelemetry_metrics_exporter]\nrecording = recording_exporter:Metrics\n"
    )
    return {
        "PYTHONPATH": os.pathsep.join((str(folder), str(Path(__file__).parent))),
        _FILE: str(into),
        "TELEMETRY_EXPORTER": "recording",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "300",
    }


def _write(records: list[dict[str, Any]]) -> None:
    with Path(os.environ[_FILE]).open("a", encoding="utf-8") as out:
        out.write("".join(json.dumps(record) + "\n" for record in records))


class Spans(SpanExporter):
    """Spans as lines `{name, trace, span, parent, kind, attributes, status, events}`."""

    def export(self, spans: Any) -> SpanExportResult:
        _write(
            [
                {
                    "name": one.name,
                    "trace": f"{one.context.trace_id:032x}",
                    "span": f"{one.context.span_id:016x}",
                    "parent": f"{one.parent.span_id:016x}" if one.parent else None,
                    "kind": one.kind.name,
                    "attributes": dict(one.attributes),
                    "status": [one.status.status_code.name, one.status.description],
                    "events": [[event.name, dict(event.attributes)] for event in one.events],
                    "resource": dict(one.resource.attributes),
                }
                for one in spans
            ]
        )
        return SpanExportResult.SUCCESS


class Metrics(MetricExporter):
    """Points as lines `{metric, attributes, value}`: a sum, or a histogram's count and sum; cumulative."""

    def export(self, metrics_data: Any, timeout_millis: float = 0, **_: Any) -> MetricExportResult:
        _write(
            [
                {
                    "metric": metric.name,
                    "unit": metric.unit,
                    "attributes": dict(point.attributes),
                    "value": point.value if hasattr(point, "value") else [point.count, point.sum],
                }
                for resource in metrics_data.resource_metrics
                for scope in resource.scope_metrics
                if scope.scope.name == "mobexport"
                for metric in scope.metrics
                for point in metric.data.data_points
            ]
        )
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 0, **_: Any) -> None:
        pass
