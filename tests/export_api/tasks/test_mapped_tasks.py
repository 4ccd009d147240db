"""Tasks over mapped raw data: small ones and ones in steps, with what they did not read."""

import gzip
import json
from typing import Any

import pytest
from raw_files import capture, lines, zstd

from mobexport.config import ExportsConfig
from mobexport.contract import TaskState
from mobexport.services import Services
from mobexport.settings import read_settings
from mobexport.wire import Outcome, TaskRef

FIELDS = {
    "deviceId": "ctx.id",
    "name": "event",
    "timestamp": {"path": "ts", "as": "epoch-ms"},
    "extras": "props",
}
BODY = {"exportFormat": "JsonBlob", "startDate": "2025-03-23", "endDate": "2025-03-23"}
RAW = {"path": "{app}/dump/dt={date:%Y-%m-%d}/**", "where": {"type": "track"}, "fields": FIELDS}


def records(part: int, count: int = 60) -> list[dict[str, Any]]:
    return [
        {
            "type": "track" if n % 5 else "page",
            "ctx": {"id": f"d{(n * 7 + part) % 11}"},
            "event": None if n % 13 == 0 else f"n{n}",
            "ts": 1742688000000 + n * 1_000_000 + part,
            "props": {"n": n, "part": part},
        }
        for n in range(count)
    ]


@pytest.fixture
def server(azurite, storage, app):
    def make(raw: dict[str, Any], **settings: str) -> Services:
        base = {
            "DATA_STORAGE": azurite.connection_string,
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "EXPORT_API_AUTH": "none",
        }
        config = ExportsConfig.model_validate({"apps": {app: {"raw": {"events": raw}}}})
        return Services(read_settings({**base, **settings}), config, storage)

    return make


def run(services: Services, app: str, landing: str) -> Any:
    task = services.export_tasks.create(app, "events", {"containerUrl": landing, **BODY})
    ref = TaskRef(app, task.id)
    writer = services.task_writer
    planned = writer.plan(ref)
    if planned.slices:
        for number in range(planned.slices):
            writer.partition_slice(ref, number)
        for bucket in range(planned.spec.buckets):
            writer.write_bucket(ref, bucket)
        counts = writer.commit_file(ref)
    else:
        counts = writer.write_file(planned)
    services.export_tasks.finish(ref, Outcome(counts))
    return planned, services.tasks.get(app, task.id)


def test_given_mapped_files_when_served_in_steps_then_the_same_bytes(
    server, storage, app, put_raw, landing
) -> None:
    put_raw("dump/dt=2025-03-23/h=1/a.ndjson", lines(*records(1)))
    put_raw("dump/dt=2025-03-23/b.ndjson.zst", zstd(lines(*records(2))))
    put_raw("dump/dt=2025-03-23/c.json", json.dumps(records(3), indent=1).encode())
    put_raw("dump/dt=2025-03-23/d.avro", capture(*(json.dumps(one).encode() for one in records(4))))
    put_raw("dump/dt=2025-03-23/e.csv", b"a,b\n")
    read = []
    for settings in ({}, {"EXPORT_SMALL_MB": "0", "EXPORT_SLICE_MB": "0.002"}):
        planned, task = run(server(RAW, **settings), app, landing)
        assert (planned.slices > 3) == bool(settings)
        assert task.state is TaskState.SUCCEEDED
        blob = storage.container(f"landing-{app}").download_blob(f"Event-{task.id}.json")
        counts = {name: task.counts[name] for name in ("read", "rejected", "outsideWindow", "exported")}
        read.append((blob.readall(), counts))
        assert f"`{app}/dump/dt=2025-03-23/e.csv`: its ending says no format" in task.error_details
        assert task.counts["daysRead"] == ["2025-03-22", "2025-03-24"]
    assert read[0] == read[1]
    assert read[0][1] == {"read": 240, "rejected": 16, "outsideWindow": 48, "exported": 176}


def test_given_a_running_task_when_the_mapping_changes_then_its_own_counts(
    server, app, put_raw, landing
) -> None:
    put_raw("dump/dt=2025-03-23/a.ndjson", lines(*records(1)))
    first = server(RAW)
    task = first.export_tasks.create(app, "events", {"containerUrl": landing, **BODY})
    first.task_writer.plan(TaskRef(app, task.id))
    second = server({**RAW, "where": {"type": "none"}})
    planned = second.task_writer.plan(TaskRef(app, task.id))
    assert second.task_writer.write_file(planned)["exported"] == 44


def test_given_unread_folders_when_served_then_the_task_says_so(services, app, put_raw, landing) -> None:
    line = lines({"deviceId": "d", "name": "n", "timestamp": "2025-03-23T10:00:00Z"})
    put_raw("events/2025-03-23/a.ndjson", line)
    put_raw("events/20250323/b.ndjson", line)
    put_raw("event/2025-03-23/c.ndjson", line)
    _, task = run(services, app, landing)
    assert [(one["name"], one["files"]) for one in task.counts["skipped"]] == [
        (f"{app}/event/", 0), (f"{app}/events/20250323/", 0)
    ]  # fmt: skip
    assert "is no kind; did you mean `events`?" in task.error_details
    assert "did you mean `2025-03-23`?" in task.error_details


def test_given_tab_separated_files_in_steps_then_the_same_bytes(
    server, storage, app, put_raw, landing
) -> None:
    raw = {
        "path": "{app}/dump/{date:%Y-%m-%d}/**",
        "format": "tsv",
        "columns": ["device", "event", "at", "props"],
        "fields": {
            "deviceId": "device",
            "name": "event",
            "timestamp": {"path": "at", "as": "epoch-ms"},
            "extras": "props",
        },
    }
    made = [f"d{n % 7}\tn{n}\t{1742688000000 + n}\t" + ('{"q":"\\""}' if n % 9 else "{") for n in range(200)]
    data = "\n".join(made).encode()
    put_raw("dump/2025-03-23/a.tsv", data)
    put_raw("dump/2025-03-23/b.tsv.gz", b"".join(gzip.compress(one) for one in data.splitlines(True)))
    put_raw("dump/2025-03-23/c.txt.zst", zstd(data))
    read = []
    for settings in ({}, {"EXPORT_SMALL_MB": "0", "EXPORT_SLICE_MB": "0.002"}):
        planned, task = run(server(raw, **settings), app, landing)
        assert (planned.slices > 3) == bool(settings)
        assert task.state is TaskState.SUCCEEDED
        blob = storage.container(f"landing-{app}").download_blob(f"Event-{task.id}.json")
        rejects = storage.container("rejects").download_blob(f"raw/{app}/{task.id}.ndjson")
        counts = {name: task.counts[name] for name in ("read", "rejected", "exported", "rules")}
        read.append((blob.readall(), rejects.readall(), counts))
    assert read[0] == read[1]
    assert read[0][2] == {"read": 600, "rejected": 69, "exported": 531, "rules": {"not-json:props": 69}}


@pytest.mark.parametrize("slack", [None, 3])
def test_given_records_filed_late_then_the_task_says_how_far_it_looked(
    server, storage, app, put_raw, landing, slack
) -> None:
    def event(day: int) -> dict[str, Any]:
        return {"deviceId": f"d{day}", "name": "n", "timestamp": f"2025-03-{day}T23:59:59.999999Z"}

    # Of the folder's day, one beside it, and two, four and five days before it.
    put_raw("events/2025-03-23/a.ndjson", lines(event(23), event(21), event(22), event(19)))
    put_raw("events/2025-03-24/a.ndjson", lines(event(19), event(23), event(24)))
    # Of the day that is asked for, and filed where nobody looks.
    put_raw("events/2025-03-28/a.ndjson", lines(event(23)))
    raw = {} if slack is None else {"slack_days": slack}
    told = []
    for settings in ({}, {"EXPORT_SMALL_MB": "0", "EXPORT_SLICE_MB": "0.0001"}):
        planned, task = run(server(raw, **settings), app, landing)
        assert (planned.slices > 1) == bool(settings)
        shown = task.to_result().to_json()["counts"]
        told.append((shown["daysRead"], shown["lateFiled"], shown["exported"]))
        assert "further from their folder's day than RAW_SLACK_DAYS" in task.error_details
    first, last, late = ("2025-03-22", "2025-03-24", 3) if slack is None else ("2025-03-20", "2025-03-26", 2)
    assert told == [([first, last], late, 2)] * 2


def test_given_no_window_then_nothing_is_filed_late(services, app, put_raw, landing) -> None:
    line = {"deviceId": "d", "timestamp": "2025-03-01T10:00:00Z", "key": "k", "value": 1}
    put_raw("tags/2025-03-23/a.ndjson", lines(line))
    task = services.export_tasks.create(app, "tags", {"containerUrl": landing, "exportFormat": "JsonBlob"})
    counts = services.task_writer.write_file(services.task_writer.plan(TaskRef(app, task.id)))
    services.export_tasks.finish(TaskRef(app, task.id), Outcome(counts))
    done = services.tasks.get(app, task.id)
    shown = done.to_result().to_json()["counts"]
    assert (shown["exported"], done.error_details) == (1, None)
    assert not {"daysRead", "lateFiled"} & shown.keys()
