"""A large export on the storage emulator: ranges pinned to their version, blocks that appear at once."""

import io
import json
from datetime import date
from pathlib import Path

import pytest
from azure.core.exceptions import ResourceNotFoundError

from mobexport.errors import SourceChanged
from mobexport.export_api.writer import scale_out
from mobexport.export_api.writer.export_file import ExportFormat, Selection
from mobexport.export_api.writer.raw_store import RawInput
from mobexport.export_api.writer.scale_out_storage import BlobSource, BlobTarget, WorkContainer
from mobexport.records.limits import Limits

DAY = date(2025, 3, 23)
LINES = b"".join(
    json.dumps(
        {"deviceId": f"d{n % 9}", "name": f"n{n}", "timestamp": f"2025-03-23T10:{n % 60:02}:00.000Z"}
    ).encode()
    + b"\n"
    for n in range(400)
)


@pytest.fixture
def given(tmp_path: Path) -> dict:
    return {"workdir": tmp_path / "work", "limits": Limits()}


@pytest.fixture
def source(storage, app, put_raw) -> BlobSource:
    put_raw("events/2025-03-23/a.ndjson", LINES)
    return BlobSource(
        storage, [RawInput(blob, "raw", "events") for blob in storage.list_blobs("raw", f"{app}/")]
    )


def planned(source: BlobSource, given: dict) -> scale_out.Spec:
    entries = (scale_out.RawEntry("events/2025-03-23/a.ndjson", len(LINES), "events"),)
    spec = scale_out.Spec("Event", ExportFormat.CSV, Selection((DAY, DAY)), entries)
    return scale_out.plan(spec, source, slice_bytes=8000, bucket_bytes=16000)


def test_given_raw_blobs_when_scaled_out_then_the_commit_makes_the_file(storage, app, source, given) -> None:
    store = WorkContainer(storage, f"work-{app}")
    blob = storage.container(f"landing-{app}").get_blob_client("Event-1.csv")
    target = BlobTarget(blob, "text/csv")
    spec = planned(source, given)
    assert len(spec.slices) > 2
    tokens = [
        scale_out.partition_slice(spec, one.number, source, store, **given)["token"] for one in spec.slices
    ]
    written = [
        scale_out.write_bucket(spec, bucket, tokens, store, target)
        for bucket in range(spec.buckets)
        for _ in range(2)
    ][::2]
    with pytest.raises(ResourceNotFoundError):
        blob.download_blob()
    for _ in range(2):
        counts = scale_out.commit(spec, tokens, written, store, target, io.BytesIO())
    rows = blob.download_blob().readall().decode().split("\r\n")
    assert counts.exported == 400
    assert rows[0] == "deviceId,name,timestamp,infoId,sessionId,locationId,extras"
    assert len(rows) == 402
    assert {row.split(",")[1] for row in rows[1:-1]} == {f"n{n}" for n in range(400)}
    assert blob.get_blob_properties().content_settings.content_type == "text/csv"


@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_given_a_raw_blob_that_changes_mid_slice_then_the_task_knows(
    storage, app, put_raw, source, given, change
) -> None:
    spec = planned(source, given)
    if change == "replaced":
        put_raw("events/2025-03-23/a.ndjson", LINES)
    else:
        storage.container("raw").delete_blob(f"{app}/events/2025-03-23/a.ndjson")
    with pytest.raises(SourceChanged, match=change):
        scale_out.partition_slice(spec, 1, source, WorkContainer(storage, f"work-{app}"), **given)
