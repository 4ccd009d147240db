"""Samples of rejects: the first of each half, bounded, and only those of this app's own files."""

import json
from dataclasses import replace
from typing import Any

import pytest

from mobexport.blob_paths import REJECTS_CONTAINER
from mobexport.pipeline.registry.export_row import ExportRow, begin
from mobexport.pipeline.requests.reject_samples import SAMPLES, show_rejects

RAW = {"read": 9, "rejected": 9, "outside": 0, "superseded": 0, "removed": 0, "exported": 0}


def put(storage: Any, name: str, *lines: Any) -> str:
    text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines)
    storage.container(REJECTS_CONTAINER).upload_blob(name, text, overwrite=True)
    return f"{REJECTS_CONTAINER}/{name}"


@pytest.fixture
def row(make_request) -> ExportRow:
    return replace(begin(make_request(), 1, "2026-11-24T00:00:00.000Z"), job_id="job-1")


def with_export(row: ExportRow, *paths: str) -> ExportRow:
    counts = {"records": 9, "rows": 0, "rejected": 9, "rules": {}, "rejects": list(paths)}
    return replace(row, counts=counts)


def test_given_rejects_of_both_halves_then_the_first_of_each(storage, row) -> None:
    raw = put(
        storage, f"raw/{row.request.app}/job-1.ndjson", {"file": "a", "line": 2, "rule": "x", "original": "o"}
    )
    own = [put(storage, f"export/{row.id}-{n}.ndjson", *[{"element": n, "rule": "y", "original": "o"}] * 7)
           for n in range(2)]  # fmt: skip
    found = show_rejects(storage, replace(with_export(row, *own), raw_counts={**RAW, "rejects": raw}))
    assert found["raw"] == [{"file": "a", "line": "2", "rule": "x", "original": "o"}]
    assert [one["element"] for one in found["export"]] == ["0"] * 7 + ["1"] * (SAMPLES - 7)


@pytest.mark.parametrize(
    "path", ["rejects/raw/other/job-1.ndjson", "rejects/../x", "exports/x", "https://evil/x"]
)
def test_given_a_path_of_another_server_then_it_is_not_followed(storage, row, path: str) -> None:
    put(storage, "raw/other/job-1.ndjson", {"rule": "x", "original": "secret"})
    found = show_rejects(storage, replace(with_export(row), raw_counts={**RAW, "rejects": path}))
    assert found == {"raw": [], "export": []}


def test_given_hostile_records_then_they_are_bounded_and_clean(storage, row) -> None:
    odd = {"rule": "x", "original": "\u202e" + "W" * 5000 + "?sig=SECRET", "extra": "no"}
    path = put(storage, f"export/{row.id}-odd.ndjson", odd)
    (one,) = show_rejects(storage, with_export(row, path))["export"]
    assert set(one) == {"rule", "original"}
    assert len(one["original"]) == 500
    assert "\u202e" not in one["original"]


def test_given_a_huge_first_record_then_it_is_said_not_read(storage, row) -> None:
    path = put(storage, f"export/{row.id}-huge.ndjson", {"rule": "x", "original": "W" * 400_000})
    (one,) = show_rejects(storage, with_export(row, path))["export"]
    assert one["rule"] == "too long to be shown"


def test_given_rejects_that_were_deleted_or_none_then_nothing(storage, row) -> None:
    empty = put(storage, f"export/{row.id}-empty.ndjson")
    gone = f"{REJECTS_CONTAINER}/export/{row.id}-gone.ndjson"
    assert show_rejects(storage, with_export(row, gone, empty)) == {"raw": [], "export": []}
    assert show_rejects(storage, row) == {"raw": [], "export": []}
