"""The account of an export: both halves add up, or one is unknown; what somebody hears of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mobexport.pipeline.account import UNKNOWN, make_account, total_rejected, why_empty
from mobexport.pipeline.findings import find, shorten_drift
from mobexport.pipeline.finishing import _end, report
from mobexport.pipeline.registry.export_row import begin, event_key, from_entity, to_entity
from mobexport.pipeline.registry.states import State

OWN = {"records": 90, "rows": 88, "rejected": 2, "rules": {"missing:name": 2}, "lenient": {}}
RAW = {
    "read": 100, "rejected": 7, "outside": 1, "superseded": 2, "removed": 0, "exported": 90,
    "rules": {"not-json": 7}, "rejects": "rejects/raw/a/1.ndjson", "ignoredFiles": 0,
}  # fmt: skip
DRIFT = {
    "comparedWith": "_manifests/a/Event/x-1.json", "undeclared": {"colour": 3, "old": 5},
    "newUndeclared": ["colour"], "newExtras": [], "missingExtras": ["n"],
}  # fmt: skip


def account(own: dict[str, Any] | None = OWN, raw: dict[str, Any] | None = RAW) -> dict[str, Any]:
    found = make_account(own, raw)
    assert found is not None
    return found


def test_both_halves_are_one_account_that_adds_up() -> None:
    found = account()
    assert found["balances"] is True
    assert (found["raw"]["rejected"], found["rejected"]) == (7, 2)
    assert total_rejected(found) == (9, 99)


@pytest.mark.parametrize("half", ["own", "raw"])
def test_a_record_that_is_missing_is_told(half: str) -> None:
    own, raw = {**OWN, "rows": 87} if half == "own" else OWN, {**RAW, "exported": 89}
    assert account(own, raw if half == "raw" else RAW)["balances"] is False


def test_an_api_that_tells_no_counts_is_unknown_and_not_zero() -> None:
    found = account(raw=None)
    assert (found["raw"], found["rawUnknown"], found["balances"]) == (None, UNKNOWN, None)
    assert total_rejected(found) == (2, 90)
    assert make_account(None, None) is None


@pytest.mark.parametrize(
    ("own", "raw", "why"),
    [
        (OWN, RAW, None),
        ({**OWN, "records": 0, "rows": 0, "rejected": 0}, {**RAW, "empty": "there is no folder raw/a/"},
         "there is no folder raw/a/"),
        ({**OWN, "records": 0, "rows": 0, "rejected": 0}, None, UNKNOWN),
        ({**OWN, "records": 4, "rows": 0, "rejected": 4}, RAW,
         "every record of the export file was rejected (4)"),
    ],
)  # fmt: skip
def test_an_empty_export_says_why(own: Any, raw: Any, why: str | None) -> None:
    assert why_empty(account(own, raw)) == why


def test_rejects_of_both_halves_beyond_the_alert_are_a_finding() -> None:
    assert find(account(), 0.1) == ()
    (found,) = find(account(), 0.09)
    assert (found.kind, found.data["rejected"], found.data["rate"]) == ("reject-rate", 9, 0.090909)


def test_drift_is_a_finding_only_where_something_is_new() -> None:
    (found,) = find(account({**OWN, "drift": DRIFT}), 1)
    assert found.kind == "schema-drift"
    assert found.data == {
        "newUndeclared": ["colour"], "missingExtras": ["n"], "comparedWith": DRIFT["comparedWith"],
    }  # fmt: skip
    same = {**DRIFT, "newUndeclared": [], "missingExtras": []}
    assert find(account({**OWN, "drift": same}), 1) == ()
    assert find(account({**OWN, "drift": {**DRIFT, "comparedWith": None}}), 1) == ()


def test_files_that_were_not_read_are_a_finding() -> None:
    (found,) = find(account(raw={**RAW, "ignoredFiles": 3}), 1)
    assert (found.kind, found.data) == ("unread-raw-files", {"files": 3})


def test_names_of_a_drift_fit_a_row_whatever_they_hold() -> None:
    # 64 characters each, of two UTF-16 units, or that JSON escapes.
    odd = [f"{chr(1) * 20}{chr(0x1F600) * 44}{n}" for n in range(50)]
    drift = shorten_drift(
        {**DRIFT, "undeclared": dict.fromkeys(odd, 1), "newExtras": odd, "missingExtras": odd}
    )
    assert len(json.dumps(drift, ensure_ascii=False).encode("utf-16-le")) < 2 * 32_768 // 2


def test_the_log_has_both_halves_and_a_line_for_each_finding(make_request, caplog) -> None:
    row = replace(
        begin(make_request(), 1, "2026-11-24T12:00:00.000Z"),
        state=State.SUCCEEDED, counts={**OWN, "drift": DRIFT}, raw_counts=RAW,
    )  # fmt: skip
    with caplog.at_level("INFO"):
        report(row, 0.05)
    ended, rate, drift = caplog.messages
    measures = json.loads(ended.partition(": ")[2])
    assert (measures["rawRead"], measures["rawRejected"], measures["rejected"]) == (100, 7, 2)
    assert (measures["rules"], measures["rawRules"]) == ({"missing:name": 2}, {"not-json": 7})
    assert rate.startswith('reject rate: {"app": ')
    assert drift.startswith("schema drift: ")
    caplog.clear()
    with caplog.at_level("INFO"):
        report(replace(row, raw_counts=None, counts=OWN), 0.05)
    measures = json.loads(caplog.messages[0].partition(": ")[2])
    assert (measures["rawRead"], measures["rawRejected"]) == (None, None)


def test_a_row_keeps_what_the_api_told(make_request) -> None:
    row = replace(begin(make_request(), 1, "2026-11-24T12:00:00.000Z"), raw_counts=RAW)
    assert from_entity(to_entity(row)).raw_counts == RAW


def test_a_finding_has_an_event_of_its_own() -> None:
    assert event_key(2, "ops") == "2"
    assert event_key(2, "ops~reject-rate") == "2~reject-rate"


def test_events_of_many_attempts_fit_a_row_whatever_names_they_hold(make_request) -> None:
    odd = [f"{chr(0x1F600) * 64}{n}" for n in range(50)]
    drift = shorten_drift(
        {**DRIFT, "undeclared": dict.fromkeys(odd, 1), "newExtras": odd, "missingExtras": odd}
    )
    row = replace(
        begin(make_request(notify=("a", "b")), 1, "2026-11-24T12:00:00.000Z"),
        state=State.PROCESSING, counts={**OWN, "drift": drift}, raw_counts=RAW, manifest="m",
    )  # fmt: skip
    for attempt in range(1, 8):
        ended = _end(replace(row, attempt=attempt), None, 0.05)
        row = replace(row, events={**row.events, **ended.events})
        cells = to_entity(replace(ended, events=row.events)).values()
        assert max(len(cell.encode("utf-16-le")) for cell in cells if isinstance(cell, str)) <= 64_000
    kept = from_entity(to_entity(row)).events
    assert kept["7"]["data"]["counts"]["raw"]["rejected"] == RAW["rejected"]
    assert kept["7~reject-rate"]["data"]["rejected"] == 9
