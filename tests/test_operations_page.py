"""The runbook names every metric there is, and its queries the lines that are logged."""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from mobexport.pipeline.finishing import report
from mobexport.pipeline.registry.export_request import ExportRequest
from mobexport.pipeline.registry.export_row import begin
from mobexport.pipeline.registry.states import State
from mobexport.telemetry.logs import log_context

ROOT = Path(__file__).parent.parent
DAY = date(2025, 3, 23)
REQUEST = ExportRequest("shop", "Event", (DAY, DAY), None, (), False, datetime(2026, 11, 24, 12, tzinfo=UTC))


def test_runbook_lists_every_metric_in_its_table() -> None:
    code = (ROOT / "mobexport" / "telemetry" / "metrics.py").read_text("utf-8")
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    made = set(re.findall(r'"(mobexport\.[a-z.]+)"', code))
    assert len(made) == 9
    assert set(re.findall(r"^\| `(mobexport\.[a-z.]+)` \|", page, re.MULTILINE)) == made


def test_query_for_ended_exports_reads_a_lines_measures(caplog) -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    (start,) = set(re.findall(r'startswith "(export ended:)"', page))
    (pattern,) = set(re.findall(r'extract\(@"(\^export ended.+)", 1, Message\)', page))
    row = begin(REQUEST, 1, "2026-11-24T12:00:00.000Z")
    ended = replace(
        row,
        state=State.FAILED,
        phases={**row.phases, "poll": "2026-11-24T12:00:01.500Z", "done": "2026-11-24T12:01:00.000Z"},
        error={"code": "TimedOut", "kind": "deadline", "message": "a {brace} {"},
    )
    with caplog.at_level("INFO"), log_context({"exportId": row.id, "attempt": 1}):
        report(ended, reject_alert=0.05)
    (line,) = caplog.messages
    assert line.startswith(start)
    found = re.match(pattern, line)
    assert found
    measures = json.loads(found[1])
    assert set(re.findall(r"Ended\.(\w+)", page)) <= set(measures)
    assert measures["seconds"] == {"create": 1.5, "poll": 58.5}
    assert (measures["state"], measures["error"], measures["rows"]) == ("Failed", "TimedOut", 0)


def test_host_json_never_samples_lines_that_alerts_and_queries_need() -> None:
    host = json.loads((ROOT / "host.json").read_text("utf-8"))
    sampling = host["logging"]["applicationInsights"]["samplingSettings"]
    assert "Trace" in sampling["excludedTypes"].split(";")
    assert host["extensions"]["durableTask"]["tracing"] == {
        "distributedTracingEnabled": True,
        "version": "V2",
    }
    # It would move all logs to where no alert looks (docs/adr/0011-telemetry.md).
    assert "telemetryMode" not in host
