"""A task from its creation to its file, over a real account."""

import gzip
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import duckdb
import pytest

from mobexport.clock import now
from mobexport.config import ExportsConfig
from mobexport.contract import ListOptions, TaskState
from mobexport.errors import DataError, NotFound, Rejected, RequestError, SourceChanged, TooManyRequests
from mobexport.export_api.tasks import export_tasks
from mobexport.services import Services
from mobexport.settings import read_settings
from mobexport.wire import Failure, Outcome, TaskRef

EVENTS = b"""\
{"deviceId":"d1","name":"open","timestamp":"2025-03-23T10:00:00.5Z"}
{"deviceId":"d1","name":"late","timestamp":"2025-03-25T10:00:00Z"}
{"deviceId":"d1"}
"""


def body(landing: str, **changes) -> dict:
    return {
        "containerUrl": landing,
        "exportFormat": "JsonBlob",
        "startDate": "2025-03-23",
        "endDate": "2025-03-24",
        "description": "token/1",
        **changes,
    }


def run(services, app: str, task_id: str) -> None:
    """The steps of the orchestrator, each of them twice: any step may be repeated."""
    services.task_writer.plan(TaskRef(app, task_id))
    planned = services.task_writer.plan(TaskRef(app, task_id))
    services.task_writer.write_file(planned)
    counts = services.task_writer.write_file(planned)
    services.export_tasks.finish(TaskRef(app, task_id), Outcome(counts))
    services.export_tasks.finish(TaskRef(app, task_id), Outcome(counts))


def test_given_raw_data_when_served_then_file_counts_and_no_secret_left(
    services, storage, app, put_raw, landing
) -> None:
    put_raw("events/2025-03-23/part-0.ndjson", EVENTS)
    put_raw("events/2025-03-23/_SUCCESS", b"")
    task = services.export_tasks.create(app, "events", body(landing))
    assert task.state is TaskState.QUEUED
    assert services.tasks.container_url(app, task.id) == landing
    run(services, app, task.id)

    done = services.tasks.get(app, task.id)
    assert (done.state, done.description) == (TaskState.SUCCEEDED, "token/1")
    assert done.error_details is not None
    assert "1 raw records rejected" in done.error_details
    assert {name: done.counts[name] for name in ("read", "rejected", "outsideWindow", "exported")} == {
        "read": 3,
        "rejected": 1,
        "outsideWindow": 1,
        "exported": 1,
    }
    assert done.counts["ignoredFiles"] == 1
    shown = done.to_result().to_json()["counts"]
    assert shown == {
        "read": 3, "rejected": 1, "outside": 1, "superseded": 0, "removed": 0, "exported": 1,
        "files": 1, "ignoredFiles": 1, "rules": {"missing:name": 1},
        "daysRead": ["2025-03-22", "2025-03-25"], "lateFiled": 1,
        "rejects": f"rejects/raw/{app}/{task.id}.ndjson",
    }  # fmt: skip
    assert services.tasks.container_url(app, task.id) is None
    name = f"Event-{task.id}.json"
    text = storage.container(f"landing-{app}").download_blob(name).readall()
    assert json.loads(text) == [
        {"deviceId": "d1", "events": [{"name": "open", "timestamp": "2025-03-23T10:00:00.500Z"}]}
    ]
    rejects = storage.container("rejects").download_blob(f"raw/{app}/{task.id}.ndjson").readall()
    assert json.loads(rejects)["line"] == 3
    assert not storage.blobs.get_container_client(f"work-{task.id}").exists()


def test_given_nothing_in_the_window_when_served_then_an_empty_array(
    services, storage, app, put_raw, landing
) -> None:
    put_raw("tags/2025-03-23/a.ndjson", b"")
    task = services.export_tasks.create(app, "events", body(landing))
    run(services, app, task.id)
    assert storage.container(f"landing-{app}").download_blob(f"Event-{task.id}.json").readall() == b"[]"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "there is no folder raw/{app}/"),
        ({"tags/2025-03-23/a.ndjson": b"{}"}, "there is no folder raw/{app}/events/"),
        ({"events/2024-03-23/a.ndjson": b"{}"}, "there is no raw file for those days"),
        ({"events/2025-03-23/a.ndjson": b"\n"}, "the raw files (1) have no records"),
        ({"events/2025-03-23/a.ndjson": b"{}\n[]"}, "every raw record was rejected (2)"),
        (
            {"events/2025-03-23/a.ndjson": b"[]\n" + EVENTS.replace(b"2025-03-23", b"2024-03-23")},
            "no raw record of 4 is of those days or campaigns; 2 were rejected",
        ),
    ],
)
def test_a_file_without_records_says_why(services, app, put_raw, landing, files, why) -> None:
    for name, data in files.items():
        put_raw(name, data)
    # A configured app need not have raw data yet.
    config = ExportsConfig(apps={app: {}})
    task = replace(services, config=config).export_tasks.create(app, "events", body(landing))
    run(services, app, task.id)
    shown = services.tasks.get(app, task.id).to_result().to_json()["counts"]
    assert (shown["exported"], shown["empty"]) == (0, why.format(app=app))


@pytest.mark.parametrize(
    ("path", "name", "why"),
    [
        ("{app}/dump/{date:%Y-%m-%d}/*.ndjson", "other/x", "there is no folder raw/{app}/dump/"),
        ("{app}/dump/d={date:%Y}{date:%m%d}/*", "events/2025-03-23/a.ndjson", "no folder raw/{app}/dump/"),
        (
            "{app}/dump/{date:%Y-%m-%d}/*.ndjson",
            "dump/2024-03-23/a.ndjson",
            "there is no raw file for those days that fits {{app}}/dump/{{date:%Y-%m-%d}}/*.ndjson",
        ),
        ("*/{date:%Y-%m-%d}", "events/2025-03-23/a.ndjson", "those days that fits */{{date:%Y-%m-%d}}"),
    ],
)
def test_a_mapped_file_without_records_says_why(
    services, app, put_raw, landing, monkeypatch, path, name, why
) -> None:
    put_raw(name, EVENTS)
    config = ExportsConfig.model_validate({"apps": {app: {"raw": {"events": {"path": path}}}}})
    mapped = replace(services, config=config)
    task = mapped.export_tasks.create(app, "events", body(landing))
    planned = mapped.task_writer.plan(TaskRef(app, task.id))
    counts = mapped.task_writer.write_file(planned)
    # The task is at hand: it is not read again for its type.
    monkeypatch.setattr(type(services.tasks), "get", None)
    mapped.export_tasks.finish(TaskRef(app, task.id), Outcome(counts), planned.task)
    monkeypatch.undo()
    assert why.format(app=app) in services.tasks.get(app, task.id).counts["empty"]


@pytest.mark.parametrize("minutes", [-6, -4, 1])
def test_given_days_that_have_not_come_when_created_then_refused(
    services, app, put_raw, landing, monkeypatch, minutes
) -> None:
    put_raw("events/2025-03-23/a.ndjson", EVENTS)
    midnight = datetime(2025, 3, 24, tzinfo=UTC)
    monkeypatch.setattr(export_tasks.ExportTasks, "_check_url", lambda *_: None)
    monkeypatch.setattr(export_tasks, "now", lambda: midnight + timedelta(minutes=minutes))
    today = {-6: "2025-03-23"}.get(minutes, "2025-03-24")
    tomorrow = date.fromisoformat(today) + timedelta(days=1)
    good = {**body(landing), "startDate": "2025-03-23", "endDate": today}
    services.export_tasks.create(app, "events", good)
    with pytest.raises(RequestError) as error:
        services.export_tasks.create(app, "events", {**good, "endDate": str(tomorrow)})
    assert error.value.problems == (("endDate", f"has not come yet: today is {today} (UTC)"),)
    window = {"campaignType": "Poll", "campaignWindowStart": "2025-03-01T00:00:00Z"}
    end = {"campaignWindowEnd": f"{today}T23:59:59Z"}
    push = {name: one for name, one in good.items() if not name.endswith("Date")} | window
    services.export_tasks.create(app, "feedbackByDate", push | end)
    with pytest.raises(RequestError, match="campaignWindowEnd: has not come yet"):
        services.export_tasks.create(
            app, "feedbackByDate", push | {"campaignWindowEnd": f"{tomorrow}T00:00:00Z"}
        )


def test_counts_with_the_oddest_names_fit_a_row(services, app, put_raw, landing) -> None:
    # 50 names of 64 characters that take two UTF-16 units each, or six as escapes.
    names = ",".join(f'"{chr(0x1F600 + n) * 20_000}{n}":1' for n in range(60))
    line = f'{{"deviceId":"d","name":"n","timestamp":"2025-03-23T10:00:00Z",{names}}}'
    put_raw("events/2025-03-23/a.ndjson", line.encode())
    task = services.export_tasks.create(app, "events", body(landing))
    run(services, app, task.id)
    assert services.tasks.get(app, task.id).state is TaskState.SUCCEEDED


def test_given_a_raw_file_replaced_after_the_plan_then_writing_fails(services, app, put_raw, landing) -> None:
    put_raw("events/2025-03-23/part-0.ndjson", EVENTS)
    task = services.export_tasks.create(app, "events", body(landing))
    planned = services.task_writer.plan(TaskRef(app, task.id))
    put_raw("events/2025-03-23/part-0.ndjson", EVENTS + EVENTS)
    with pytest.raises(SourceChanged, match="was replaced"):
        services.task_writer.write_file(planned)


def test_given_a_landing_container_that_is_gone_then_rejected_as_such(
    services, storage, app, put_raw, landing
) -> None:
    put_raw("events/2025-03-23/part-0.ndjson", EVENTS)
    task = services.export_tasks.create(app, "events", body(landing))
    planned = services.task_writer.plan(TaskRef(app, task.id))
    storage.delete_container(f"landing-{app}")
    with pytest.raises(Rejected, match="ContainerNotFound") as error:
        services.task_writer.write_file(planned)
    services.export_tasks.finish(TaskRef(app, task.id), Outcome(failure=Failure.of(error.value)))
    done = services.tasks.get(app, task.id)
    assert done.state is TaskState.FAILED
    assert "sig=" not in str(done.error_details)
    assert services.tasks.container_url(app, task.id) is None


def test_given_invalid_gzip_then_the_reason_names_the_file(services, app, put_raw, landing) -> None:
    put_raw("events/2025-03-23/part-0.ndjson.gz", b"x")
    task = services.export_tasks.create(app, "events", body(landing))
    planned = services.task_writer.plan(TaskRef(app, task.id))
    with pytest.raises(DataError, match=r"part-0\.ndjson\.gz .*replace it"):
        services.task_writer.write_file(planned)


def test_given_files_of_every_format_when_served_then_all_are_read(
    services, storage, app, put_raw, landing, tmp_path
) -> None:
    line = b'{"deviceId":"d1","name":"%s","timestamp":"2025-03-23T10:00:00Z"}\n'
    put_raw("events/2025-03-22/a.ndjson", line % b"plain")
    put_raw("events/2025-03-23/b.ndjson.gz", gzip.compress(line % b"gzip"))
    duckdb.execute(f"""COPY (SELECT 'd1' AS "deviceId", 'parquet' AS name,
        TIMESTAMPTZ '2025-03-23 10:00:00Z' AS timestamp) TO '{tmp_path}/c' (FORMAT parquet)""")
    put_raw("events/2025-03-24/c.parquet", (tmp_path / "c").read_bytes())
    put_raw("events/2025-03-26/d.ndjson", line % b"not looked at")
    task = services.export_tasks.create(app, "events", body(landing))
    run(services, app, task.id)
    text = storage.container(f"landing-{app}").download_blob(f"Event-{task.id}.json").readall()
    assert [event["name"] for event in json.loads(text)[0]["events"]] == ["plain", "gzip", "parquet"]


@pytest.mark.parametrize(
    ("route", "changes", "says"),
    [
        ("events", {"containerUrl": "https://evil.example/c?sig=x"}, "containerUrl"),
        ("events", {"exportFormat": "Xml"}, "exportFormat"),
        ("events", {"startDate": "2025-03-26"}, "startDate must not be after endDate"),
        ("events", {"endDate": "tomorrow"}, "endDate"),
        ("faxes", {}, "there is no route"),
    ],
)
def test_given_a_wrong_body_when_created_then_refused_naming_it(
    services, app, put_raw, landing, route, changes, says
) -> None:
    put_raw("events/2025-03-23/part-0.ndjson", EVENTS)
    with pytest.raises(RequestError, match=says):
        services.export_tasks.create(app, route, body(landing, **changes))
    assert services.tasks.page(app, ListOptions()) == ([], False)


def test_given_pascal_case_when_created_then_read_all_the_same(services, app, put_raw, landing) -> None:
    put_raw("tags/2025-03-23/a.ndjson", b"")
    task = services.export_tasks.create(
        app, "Tags", {"ContainerUrl": landing, "ExportFormat": "JsonBlob", "Unknown": 1}
    )
    assert task.export_type == "Tag"


def test_given_an_app_without_raw_data_when_created_then_not_found(services, landing) -> None:
    with pytest.raises(NotFound):
        services.export_tasks.create("nobody", "events", body(landing))


def test_given_many_tasks_when_listed_then_pages_in_order(services, app, put_raw, landing) -> None:
    put_raw("tags/2025-03-23/a.ndjson", b"")
    made = [services.export_tasks.create(app, "tags", body(landing)).id for _ in range(5)]
    assert made == sorted(made)
    first, more = services.tasks.page(app, ListOptions(top=2))
    assert ([task.id for task in first], more) == (made[:2], True)
    last, more = services.tasks.page(app, ListOptions(skip=3, top=2, order_by="dateCreated", descending=True))
    assert ([task.id for task in last], more) == (made[1::-1], False)


def test_given_too_many_unfinished_tasks_then_429_until_one_ends(
    azurite, storage, app, put_raw, landing
) -> None:
    put_raw("tags/2025-03-23/a.ndjson", b"")
    settings = read_settings(
        {
            "DATA_STORAGE": azurite.connection_string,
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "EXPORT_API_MAX_tasks": "2",
        }
    )
    services = Services(settings, ExportsConfig(), storage)
    made = [services.export_tasks.create(app, "tags", body(landing)) for _ in range(2)]
    with pytest.raises(TooManyRequests) as refused:
        services.export_tasks.create(app, "tags", body(landing))
    assert (refused.value.status, refused.value.retry_after) == (429, 60)
    services.tasks.fail(app, made[0].id, "why")
    services.export_tasks.create(app, "tags", body(landing))


def test_given_a_sas_that_expires_before_writing_then_failed_as_such(
    services, storage, app, put_raw, landing, monkeypatch
) -> None:
    put_raw("events/2025-03-23/part-0.ndjson", EVENTS)
    task = services.export_tasks.create(app, "events", body(landing))
    planned = services.task_writer.plan(TaskRef(app, task.id))
    later = now() + timedelta(hours=2)
    monkeypatch.setattr("mobexport.export_api.writer.steps.now", lambda: later)
    with pytest.raises(RequestError) as refused:
        services.task_writer.write_file(planned)
    services.export_tasks.finish(TaskRef(app, task.id), Outcome(failure=Failure.of(refused.value)))
    done = services.tasks.get(app, task.id)
    assert (done.state, done.error_details) == (
        TaskState.FAILED,
        "containerUrl has a SAS that expired; make a new one",
    )
    assert list(storage.list_blobs(f"landing-{app}")) == []


def test_given_all_task_states_then_left_behind_are_old_with_a_secret(
    services, app, storage, put_raw, landing
) -> None:
    put_raw("events/2025-03-23/a.ndjson", EVENTS)
    queued, started, ended, cut = (
        services.export_tasks.create(app, "events", body(landing)).id for _ in range(4)
    )
    services.task_writer.plan(TaskRef(app, started))
    run(services, app, ended)
    # Its last step was killed between the row and the secret.
    url = storage.table("secrets").get_entity(app, cut)
    run(services, app, cut)
    storage.table("secrets").create_entity(url)

    def left(before) -> list[str]:
        return [task.id for task in services.tasks.unended(before) if task.app == app]

    assert sorted(left(now() + timedelta(seconds=1))) == [queued, started, cut]
    assert left(now() - timedelta(seconds=30)) == []
    run(services, app, cut)
    assert sorted(left(now() + timedelta(seconds=1))) == [queued, started]
    assert services.tasks.get(app, cut).state is TaskState.SUCCEEDED
