"""The page of events has every event and field that is made, and no other."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from mobexport.pipeline.findings import DRIFT, REJECT_RATE, UNREAD_FILES, Finding, find
from mobexport.pipeline.notify import make_event, make_finding_event
from mobexport.pipeline.notify.trial import make_test_event
from mobexport.pipeline.registry.export_request import ExportRequest
from mobexport.pipeline.registry.export_row import ExportRow, begin
from mobexport.pipeline.registry.states import TABLE, State
from mobexport.pipeline.requests.settled_batches import DIGEST, NO_DATA, Ended, make_schedule_event

PAGE = (Path(__file__).parents[1] / "docs" / "events.md").read_text("utf-8")
DAY = date(2025, 3, 23)
REQUEST = ExportRequest("shop", "Event", (DAY, DAY), None, (), False, datetime(2026, 11, 24, tzinfo=UTC))
ROW = replace(begin(REQUEST, 1, "2026-11-24T00:00:00Z"), state=State.FAILED, error={"code": "TimedOut"})
COUNTS = {"read": 9, "rejected": 8, "outside": 0, "superseded": 0, "removed": 0, "exported": 1}
ACCOUNT = {
    "records": 1,
    "rejected": 0,
    "raw": {**COUNTS, "ignoredFiles": 2},
    "drift": {"comparedWith": "m", "newUndeclared": ["a"], "newExtras": ["b"], "missingExtras": ["c"]},
}
EMPTY = replace(
    ROW,
    state=State.EMPTY,
    counts={"records": 0, "rows": 0, "rejected": 0},
    raw_counts={**COUNTS, "empty": "why"},
)


def _part(heading: str) -> str:
    """From a heading to the next one."""
    return re.split(r"\n##+ ", PAGE.split(f"# {heading}\n")[1])[0]


def _told(part: str) -> set[str]:
    cells = re.findall(r"^\| (`[^|]+) \|", part, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def _findings() -> list[Finding]:
    return list(find(ACCOUNT, 0.05))


def _events() -> list[tuple[str, dict[str, Any]]]:
    common = "Of an export"
    made = [
        (common, make_event(ROW, event))
        for event in sorted({rule.event for rule in TABLE.values() if rule.event})
    ]
    made += [(common, make_finding_event(ROW, finding)) for finding in _findings()]
    made += [
        ("Of a schedule's day", make_schedule_event(kind, "shop", DAY, "b", [Ended(ROW, frozenset())]))
        for kind in (DIGEST, NO_DATA)
    ]
    return [*made, ("", make_test_event("ops"))]


def test_the_page_has_every_event_and_no_other() -> None:
    assert {finding.kind for finding in _findings()} == {REJECT_RATE, DRIFT, UNREAD_FILES}
    types = {event["type"] for _, event in _events()}
    assert set(re.findall(r"^##+ (mobexport\.\S+)$", PAGE, re.MULTILINE)) == types


@pytest.mark.parametrize(
    ("common", "event"), _events(), ids=lambda one: one["type"] if isinstance(one, dict) else ""
)
def test_given_an_event_when_made_then_its_fields_stand_in_the_page(
    common: str, event: dict[str, Any]
) -> None:
    assert set(event) == _told(PAGE.split("\n## ")[0])
    shared = _told(_part(common)) if common else set()
    assert set(event["data"]) == shared | _told(_part(event["type"]))


@pytest.mark.parametrize("row", [ROW, EMPTY], ids=lambda row: str(row.state))
def test_given_an_export_of_a_day_then_its_fields_stand_in_the_page(row: ExportRow) -> None:
    (told,) = make_schedule_event(DIGEST, "shop", DAY, "b", [Ended(row, frozenset())])["data"]["exports"]
    cell = re.search(r"\| `exports` \|(.*)\|", PAGE)
    assert cell
    assert set(told) <= set(re.findall(r"`(\w+)`", cell[1]))
