"""From collected files to committed Parquet and notifications, over a real account."""

import gzip
import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from types import SimpleNamespace

import duckdb
import pyarrow.parquet as pq
import pytest
from delta_log import read_log

from localdev.webhook_receiver import Receiver, new_secret
from mobexport import durable_names as names
from mobexport.blob_paths import (
    COMPLETE,
    CURATED_CONTAINER,
    EXPORTS_CONTAINER,
    REJECTS_CONTAINER,
    conversion_path,
)
from mobexport.errors import ConfigError, DataError, NotFound, Rejected, Transient, Truncated
from mobexport.heavy import HeavySteps
from mobexport.pipeline import notify
from mobexport.pipeline.finishing import Finisher
from mobexport.pipeline.messages import ProcessExport
from mobexport.pipeline.process.processor import Processor
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.registry.states import State
from mobexport.records import elements
from mobexport.settings import read_settings
from mobexport.standard_webhooks import sign
from mobexport.tables.tables import Tables
from mobexport.targets import WebhookTarget
from mobexport.telemetry import metrics
from mobexport.wire import AttemptRef, Outcome

DAY = date(2025, 3, 23)
FILE = b"""[
{"deviceId":"d1","events":[{"name":"open","timestamp":"2025-03-23T10:00:00.500Z","extras":{"n":12345678901234567890}},
 {"name":"bad","timestamp":"soon"}]}
]"""


@pytest.fixture
def processor(registry, storage, azurite) -> Processor:
    settings = read_settings(
        {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    )
    return Processor(registry, storage, settings, Tables(storage), HeavySteps(storage))


@pytest.fixture
def collected(registry, storage, make_request):
    """Makes an export whose files are collected."""

    def make(*files: bytes, **changes):
        row, _ = registry.request(make_request(**changes), rerun=True)
        for state in (State.SUBMITTED, State.COLLECTING, State.PROCESSING):
            row = registry.change(row.ref, lambda now, state=state: replace(now, state=state))
        folder = row.folder
        for index, data in enumerate(files):
            storage.container(EXPORTS_CONTAINER).upload_blob(f"{folder}Event-{index}.json", data)
        listed = [blob.to_json() for blob in storage.list_blobs(EXPORTS_CONTAINER, folder)]
        complete = {"version": 1, "exportId": row.id, "attempt": row.attempt, "files": listed}
        storage.write_json(EXPORTS_CONTAINER, folder + COMPLETE, complete)
        return row

    return make


def process(processor: Processor, row) -> dict:
    """The steps of the orchestrator, each of them twice."""
    processor.begin(row.ref)
    found = processor.begin(row.ref)
    if not found["done"]:
        for index in range(found["files"]):
            processor.convert(row.ref, index)
            processor.convert(row.ref, index)
        processor.commit(row.ref)
        processor.commit(row.ref)
    counts = processor.registry.get(row.id).counts
    return {name: counts[name] for name in ("records", "rows", "rejected")}


def table(storage, row, day: date = DAY) -> list[str]:
    """Paths in `curated` of the files that count for a day, by the table's log."""
    folder = f"{row.request.app}/{row.request.export_type}"
    log = read_log(storage.container(CURATED_CONTAINER), folder)
    return [f"{folder}/{path}" for path in log.paths(day.isoformat())]


def test_given_collected_files_then_parquet_rejects_manifest_and_table(
    processor, registry, storage, collected, tmp_path
) -> None:
    row = collected(FILE, b"[]")
    assert process(processor, row) == {"records": 2, "rows": 1, "rejected": 1}
    manifest = storage.read_json(CURATED_CONTAINER, row.manifest_path)
    assert manifest["counts"]["records"] == manifest["counts"]["rows"] + manifest["counts"]["rejected"]
    assert [part["bytes"] for part in manifest["inputs"]] == [len(FILE), 2]
    files = table(storage, row)
    assert files == [output["path"] for output in manifest["outputs"]]
    local = tmp_path / "x.parquet"
    local.write_bytes(storage.container(CURATED_CONTAINER).download_blob(files[0]).readall())
    found = duckdb.sql(f"SELECT app, deviceId, name, sessionId, extras FROM '{local}'").fetchall()
    assert found == [(row.request.app, "d1", "open", None, '{"n":12345678901234567890}')]
    rejects = storage.container(REJECTS_CONTAINER).download_blob(manifest["rejects"][0]).readall()
    assert json.loads(rejects)["field"] == "timestamp"
    assert processor.begin(row.ref) == {"done": True}
    assert registry.get(row.id).manifest == row.manifest_path


def test_given_a_truncated_file_when_converted_then_nothing_is_committed(
    processor, storage, collected
) -> None:
    row = collected(FILE[:-1])
    with pytest.raises(Truncated):
        processor.convert(row.ref, 0)
    assert table(storage, row) == []


@pytest.mark.parametrize(
    "forge",
    [
        lambda found: found["outputs"][0].update(path=f"other/{found['outputs'][0]['path'][2:]}"),
        lambda found: found["outputs"][0].update(date="2025-01-01"),
        lambda found: found["input"].update(path="other/Event/e/1/files/Event-0.json"),
        lambda found: found.update(rejects="export/other/e-1-0.ndjson"),
        lambda found: found.update(outputs=[7]),
    ],
)
def test_given_a_forged_conversion_then_nothing_is_committed(processor, storage, collected, forge) -> None:
    row = collected(FILE)
    processor.convert(row.ref, 0)
    name = conversion_path(row.folder, 0)
    found = storage.read_json(EXPORTS_CONTAINER, name)
    forge(found)
    storage.container(EXPORTS_CONTAINER).upload_blob(name, json.dumps(found), overwrite=True)
    with pytest.raises(DataError, match="does not fit attempt 1 of export") as raised:
        processor.commit(row.ref)
    assert (raised.value.own_code, raised.value.retryable) == ("WrongBookkeeping", False)
    assert table(storage, row) == []


@pytest.mark.parametrize(
    "forge",
    [
        lambda complete, row: complete.update(exportId="other"),
        lambda complete, row: complete.update(attempt=2),
        lambda complete, row: complete["files"][0].update(name="other/Event/e/1/files/Event-0.json"),
        lambda complete, row: complete["files"][0].update(etag=None),
        lambda complete, row: complete.pop("files"),
    ],
)
def test_given_a_forged_list_of_files_then_none_is_read(processor, storage, collected, forge) -> None:
    row = collected(FILE)
    name = row.folder + COMPLETE
    complete = storage.read_json(EXPORTS_CONTAINER, name)
    forge(complete, row)
    storage.container(EXPORTS_CONTAINER).upload_blob(name, json.dumps(complete), overwrite=True)
    with pytest.raises(DataError, match=r"_complete\.json does not fit"):
        processor.convert(row.ref, 0)


def test_given_an_older_export_that_commits_late_then_the_newer_counts(processor, storage, collected) -> None:
    newer = collected(FILE, requested_at=datetime(2026, 11, 25, tzinfo=UTC))
    process(processor, newer)
    wide = (DAY, date(2025, 3, 24))
    older = collected(b"[]", window=wide, requested_at=datetime(2026, 11, 23, tzinfo=UTC))
    process(processor, older)
    assert [newer.id in path for path in table(storage, newer)] == [True]
    # The day that only the older one covers is its own, also without a row.
    folder = f"{older.request.app}/Event"
    log = read_log(storage.container(CURATED_CONTAINER), folder)
    times = {f"date={day}": row.request.requested_at for day, row in zip(wide, (newer, older), strict=True)}
    assert log.transactions == {name: round(at.timestamp() * 1000) for name, at in times.items()}
    assert log.commits[-1]["exportId"] == older.id


LARGE = json.dumps(
    [
        {
            "deviceId": f"d{n}",
            "events": [
                {"name": f"n{n}", "timestamp": "2025-03-23T10:00:00Z" if n % 3 else "soon"},
                {"name": f"m{n}", "timestamp": "2025-03-23T10:00:01Z", "extras": {"t": '"},{['}},
            ],
        }
        for n in range(40)
    ]
).encode()


@pytest.fixture
def parts(processor, monkeypatch) -> Processor:
    """A processor that converts in parts what is larger than a seventh of LARGE."""
    monkeypatch.setattr(elements, "BLOCK_BYTES", 200)
    settings = processor.settings.model_copy(update={"convert_part_mb": (len(LARGE) // 7 + 1) / 2**20})
    return replace(processor, settings=settings)


def read_back(storage, manifest) -> tuple[list, list]:
    """All rows and all rejects in the order of the manifest."""
    rows, rejects = [], []
    for output in manifest["outputs"]:
        data = storage.container(CURATED_CONTAINER).download_blob(output["path"]).readall()
        rows += pq.ParquetFile(io.BytesIO(data)).read().to_pylist()
        assert output["sha256"] == hashlib.sha256(data).hexdigest()
    for path in manifest["rejects"]:
        data = storage.container(REJECTS_CONTAINER).download_blob(path).readall()
        rejects += [json.loads(line) for line in data.splitlines()]
    return rows, rejects


def test_given_a_large_file_in_parts_then_the_manifest_is_as_of_the_whole(
    processor, parts, registry, storage, source, collected
) -> None:
    whole = collected(FILE, LARGE, b"[]")
    process(processor, whole)
    Finisher(registry, storage, processor, lambda _: source).finish(whole.ref, Outcome())
    row = collected(FILE, LARGE, b"[]", requested_at=datetime(2026, 11, 25, tzinfo=UTC))
    assert (row.id, row.attempt) == (whole.id, 2)
    assert parts.begin(row.ref) == {"done": False, "files": 3, "large": [1]}
    parts.convert(row.ref, 0)
    found = parts.find_parts(row.ref, 1)
    assert found == {"parts": 7, "lanes": 4}
    # Cut once and for all, whatever the setting says when the step is repeated.
    assert processor.find_parts(row.ref, 1) == found
    with pytest.raises(DataError, match=r"file 1 .* is not converted"):
        parts.commit(row.ref)
    # In any order, and repeated, also at the same time.
    with ThreadPoolExecutor(3) as pool:
        for number in (*range(7), 3, 3, 0):
            pool.submit(parts.convert_part, row.ref, 1, 6 - number).result()
        list(pool.map(lambda _: parts.convert_part(row.ref, 1, 0), range(3)))
    assert registry.get(row.id).progress["converted"] == 2
    parts.convert(row.ref, 2)
    parts.commit(row.ref)

    expected, manifest = (
        storage.read_json(CURATED_CONTAINER, replace(row, attempt=attempt).manifest_path)
        for attempt in (1, 2)
    )
    assert manifest["counts"] == expected["counts"]
    assert manifest["counts"]["records"] == 82
    assert [(one["bytes"], one["sha256"]) for one in manifest["inputs"]] == [
        (len(data), hashlib.sha256(data).hexdigest()) for data in (FILE, LARGE, b"[]")
    ]
    assert [one["path"] for one in manifest["inputs"]] == [
        one["path"].replace("/1/", "/2/") for one in expected["inputs"]
    ]
    assert read_back(storage, manifest) == read_back(storage, expected)
    files = [output["path"] for output in manifest["outputs"]]
    assert files == sorted(files)
    assert len(files) == 8
    assert table(storage, row) == files


def test_given_workers_that_die_after_every_step_then_a_large_file_once(
    processor, parts, registry, storage, collected, virtual_app
) -> None:
    row = collected(LARGE)
    app = virtual_app()
    app.services = SimpleNamespace(processor=parts)
    died: set[str] = set()

    def crashed(name: str) -> bool:
        """Done, and its answer lost: once for each step and each part."""
        _, _, step = app.h.activity_calls[-1]
        call = f"{name} {step.get('number')}"
        return call not in died and not died.add(call)

    app.crashed = crashed
    given = ProcessExport(export_id=row.id, attempt=row.attempt).to_json()
    app.start(names.PROCESS_EXPORT, names.process_instance(row.ref), given)
    app.h.run()
    outcome = {"records": 80, "rows": 66, "rejected": 14}
    assert app.h.status(names.process_instance(row.ref)).output == {"ok": outcome}
    assert sorted(step["number"] for step in app.called(names.CONVERT_PART)) == sorted([*range(7)] * 2)
    assert len(died) == 3 + 7
    rows, rejects = read_back(storage, storage.read_json(CURATED_CONTAINER, registry.get(row.id).manifest))
    events = [(f"d{n}", f"{kind}{n}") for n in range(40) for kind in "nm" if n % 3 or kind == "m"]
    assert [(one["deviceId"], one["name"]) for one in rows] == events
    assert [(one["element"], one["record"]) for one in rejects] == [(n + 1, 1) for n in range(0, 40, 3)]


def test_given_a_truncated_large_file_then_nothing_is_committed(parts, storage, collected) -> None:
    row = collected(LARGE[:-1])
    for _ in range(2):
        with pytest.raises(Truncated):
            parts.find_parts(row.ref, 0)
    assert table(storage, row) == []


def test_given_a_packed_file_or_one_large_element_then_converted_whole(parts, storage, collected) -> None:
    one = json.dumps([{"deviceId": "d", "events": json.loads(LARGE)[0]["events"] * 80}]).encode()
    packed = gzip.compress(LARGE, 0)
    row = collected(one, packed)
    assert parts.begin(row.ref)["large"] == [0, 1]
    for index in (0, 1):
        assert parts.find_parts(row.ref, index)["parts"] == 1
        parts.convert(row.ref, index)
    assert parts.commit(row.ref).counts["records"] == 160 + 80
    (first, second) = storage.read_json(CURATED_CONTAINER, row.manifest_path)["inputs"]
    assert (first["bytes"], second["bytes"]) == (len(one), len(packed))


def test_given_a_file_converted_whole_when_cut_later_then_it_counts_once(
    processor, parts, storage, collected
) -> None:
    row = collected(LARGE)
    processor.convert(row.ref, 0)
    for number in range(parts.find_parts(row.ref, 0)["parts"]):
        parts.convert_part(row.ref, 0, number)
    assert parts.commit(row.ref).counts["records"] == 80
    assert len(table(storage, row)) == 1


def test_given_no_such_attempt_when_begun_then_refused(processor) -> None:
    with pytest.raises(NotFound):
        processor.begin(AttemptRef("none", 1))


def test_given_a_webhook_when_sent_then_the_receiver_verifies_it(
    processor, registry, storage, collected, monkeypatch
) -> None:
    row = collected(FILE)
    process(processor, row)
    secret = new_secret()
    monkeypatch.setenv("HOOK_SECRET", secret)
    with Receiver(secret) as receiver:
        target = WebhookTarget(kind="webhook", url=receiver.url, secret_setting="HOOK_SECRET")
        ended = replace(registry.get(row.id), state=State.SUCCEEDED)
        event = notify.make_event(ended, "completed")
        notify.send(target, event, storage)
        (delivery,) = receiver.received
    assert delivery.problem is None
    sent = json.loads(delivery.body)
    assert (sent["id"], sent["data"]["state"]) == (f"{row.id}/{row.attempt}/completed", "Succeeded")
    assert sent["data"]["counts"]["rows"] == 1


def test_given_a_webhook_that_is_down_or_refuses_then_retried_or_not(storage, monkeypatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", new_secret())
    event = {"id": "x/1/completed"}
    with Receiver(new_secret()) as receiver:
        target = WebhookTarget(kind="webhook", url=receiver.url, secret_setting="HOOK_SECRET")
        with pytest.raises(Rejected, match="HTTP 4"):
            notify.send(target, event, storage)
    with pytest.raises(Transient):
        notify.send(target, event, storage)
    monkeypatch.setenv("HOOK_SECRET", "whsec_%%%")
    with pytest.raises(ConfigError, match="HOOK_SECRET: must be whsec_"):
        notify.send(target, event, storage)


def test_given_the_published_example_then_the_published_signature() -> None:
    # The example of the Standard Webhooks specification's own libraries.
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_given_an_attempt_that_ended_meanwhile_then_the_table_stays(
    processor, registry, storage, collected
) -> None:
    row = collected(FILE)
    processor.convert(row.ref, 0)
    registry.change(row.ref, lambda now: replace(now, state=State.TIMED_OUT))
    with pytest.raises(DataError, match="ended as TimedOut"):
        processor.commit(row.ref)
    assert table(storage, row) == []


def test_given_a_half_done_commit_when_the_attempt_ends_then_completed(
    processor, registry, storage, source, collected, monkeypatch
) -> None:
    row = collected(FILE)
    processor.convert(row.ref, 0)
    with monkeypatch.context() as patch:
        patch.setattr(Tables, "commit", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            processor.commit(row.ref)
    late = Outcome.failed("TimedOut", "x", kind="deadline")
    ended = Finisher(registry, storage, processor, lambda _: source).finish(row.ref, late)
    assert (ended.state, ended.error) == (State.SUCCEEDED, None)
    assert len(table(storage, row)) == 1


def test_given_a_repeated_finish_then_counted_once_with_its_measures(
    processor, registry, storage, source, collected, monkeypatch
) -> None:
    counted: list = []
    monkeypatch.setattr(metrics, "attempt_ended", counted.append)
    row = collected(FILE)
    processor.convert(row.ref, 0)
    processor.commit(row.ref, "blob trigger")
    finisher = Finisher(registry, storage, processor, lambda _: source)
    ended = finisher.finish(row.ref, Outcome())
    assert finisher.finish(row.ref, Outcome()).state is State.SUCCEEDED
    assert ended.processing_started_by == "blob trigger"
    (measures,) = counted
    assert (measures["state"], measures["rows"], measures["rejected"]) == ("Succeeded", 1, 1)
    assert set(measures["seconds"]) == {"create", "poll", "collect", "process"}
    assert set(ended.phases) == {*measures["seconds"], "done"}


def test_given_two_enders_of_one_attempt_then_the_loser_does_not_count(
    processor, registry, storage, source, collected, monkeypatch
) -> None:
    counted: list = []
    monkeypatch.setattr(metrics, "attempt_ended", counted.append)
    row = collected()
    finisher = Finisher(registry, storage, processor, lambda _: source)
    change = Registry.change
    failed = Outcome.failed("TimedOut", "x", kind="deadline")

    def beaten(self, ref, how, row):
        # Somebody else ends the attempt after this call has looked at it and before it writes.
        monkeypatch.setattr(Registry, "change", change)
        finisher.finish(ref, failed)
        return change(self, ref, how, row)

    monkeypatch.setattr(Registry, "change", beaten)
    assert finisher.finish(row.ref, failed).state is State.TIMED_OUT
    assert [one["state"] for one in counted] == ["TimedOut"]
