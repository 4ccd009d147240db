"""A large task in steps over a real account: the bytes of a small one, whatever is repeated or goes wrong."""

import gzip
import json
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from mobexport.config import ExportsConfig
from mobexport.contract import TaskState
from mobexport.errors import DataError, OtherVersion, Rejected, RequestError, SourceChanged
from mobexport.services import Services
from mobexport.settings import read_settings
from mobexport.wire import Failure, Outcome, TaskRef

DATES = {"startDate": "2025-03-23", "endDate": "2025-03-24"}


def events(part: int, count: int = 120) -> bytes:
    """Lines out of order, some bad, some of another day."""
    lines = []
    for n in range(count):
        day = 23 + (n % 7 == 0) * 5
        line = {
            "deviceId": f"d{(n * 7 + part) % 11}",
            "name": f"n{n}",
            "timestamp": f"2025-03-{day:02}T{n % 24:02}:00:00.{part}Z",
            "extras": {"n": n, "part": part},
        }
        lines.append(b"{oops" if n % 29 == 0 else json.dumps(line).encode())
    return b"\n".join(lines) + b"\n"


@pytest.fixture
def server(azurite, storage):
    """Makes the server half with settings of the test's own."""

    def make(**settings: str) -> Services:
        base = {
            "DATA_STORAGE": azurite.connection_string,
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "EXPORT_API_AUTH": "none",
        }
        return Services(read_settings({**base, **settings}), ExportsConfig(), storage)

    return make


@pytest.fixture
def large(server) -> Services:
    return server(EXPORT_SMALL_MB="0", EXPORT_SLICE_MB="0.008")


@pytest.fixture
def raw(put_raw) -> None:
    put_raw("events/2025-03-23/a.ndjson", events(1))
    # Members that begin anywhere in a line.
    lines = events(2)
    members = [gzip.compress(lines[at : at + 3001]) for at in range(0, len(lines), 3001)]
    put_raw("events/2025-03-23/b.ndjson.gz", b"".join(members))
    put_raw("events/2025-03-24/c.ndjson", events(3))


def started(services: Services, app: str, landing: str, output: str = "JsonBlob") -> tuple[str, dict]:
    body = {"containerUrl": landing, "exportFormat": output, **DATES}
    task = services.export_tasks.create(app, "events", body)
    return task.id, services.task_writer.plan(TaskRef(app, task.id))


def all_slices(services: Services, app: str, task_id: str, plan: dict) -> None:
    for number in range(plan.slices):
        services.task_writer.partition_slice(TaskRef(app, task_id), number)


def all_buckets(services: Services, app: str, task_id: str, plan: dict) -> None:
    for number in reversed(range(plan.spec.buckets)):
        services.task_writer.write_bucket(TaskRef(app, task_id), number)


def finish_large(services: Services, app: str, task_id: str, plan: dict, times: int = 1) -> None:
    """The steps of the orchestrator, each of them so many times."""
    for _ in range(times):
        all_slices(services, app, task_id, plan)
    for _ in range(times):
        all_buckets(services, app, task_id, plan)
    counts = [services.task_writer.commit_file(TaskRef(app, task_id)) for _ in range(times)]
    assert counts[0] == counts[-1]
    services.export_tasks.finish(TaskRef(app, task_id), Outcome(counts[0]))


def content(storage, container: str, name: str) -> bytes:
    return storage.container(container).download_blob(name).readall()


@pytest.mark.parametrize("output", ["JsonBlob", "CsvBlob"])
def test_given_one_input_small_or_large_and_steps_twice_then_same_output(
    raw, services, large, storage, app, landing, output
) -> None:
    ending = {"JsonBlob": "json", "CsvBlob": "csv"}[output]
    small_id, plan = started(services, app, landing, output)
    assert plan.slices == 0
    services.export_tasks.finish(TaskRef(app, small_id), Outcome(services.task_writer.write_file(plan)))
    large_id, plan = started(large, app, landing, output)
    assert plan.slices > 3
    assert plan.spec.buckets > 3
    finish_large(large, app, large_id, plan, times=2)

    small, done = (services.tasks.get(app, task_id) for task_id in (small_id, large_id))
    assert done.state is TaskState.SUCCEEDED
    assert done.counts == small.counts
    assert small.counts["rejected"] > 0
    names = [f"Event-{task_id}.{ending}" for task_id in (small_id, large_id)]
    first, second = (content(storage, f"landing-{app}", name) for name in names)
    assert first == second
    rejects = [content(storage, "rejects", f"raw/{app}/{task_id}.ndjson") for task_id in (small_id, large_id)]
    assert rejects[0] == rejects[1]
    assert not storage.blobs.get_container_client(f"work-{large_id}").exists()


def test_given_a_create_only_sas_for_a_large_task_then_named_at_planning(
    raw, services, large, storage, app, landing
) -> None:
    account = storage.blobs
    sas = generate_container_sas(
        account.account_name,
        f"landing-{app}",
        account_key=account.credential.account_key,
        permission=ContainerSasPermissions(create=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    url = f"{landing.partition('?')[0]}?{sas}"
    with pytest.raises(Rejected, match=r"needs a SAS with the right to write \(w\)"):
        started(large, app, url)
    small_id, plan = started(services, app, url)
    services.export_tasks.finish(TaskRef(app, small_id), Outcome(services.task_writer.write_file(plan)))
    assert json.loads(content(storage, f"landing-{app}", f"Event-{small_id}.json"))


def no_file(storage, app: str, task_id: str) -> None:
    """Neither the file nor a part of it can be seen or read."""
    client = storage.container(f"landing-{app}")
    assert [blob.name for blob in client.list_blobs() if task_id in blob.name] == []
    with pytest.raises(ResourceNotFoundError):
        client.download_blob(f"Event-{task_id}.json")


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_given_a_raw_file_that_changes_midway_then_the_large_task_fails(
    raw, large, storage, app, landing, change
) -> None:
    task_id, plan = started(large, app, landing)
    other_id, other_plan = started(large, app, landing)
    all_slices(large, app, other_id, other_plan)
    large.task_writer.partition_slice(TaskRef(app, task_id), 0)
    blob = storage.container("raw").get_blob_client(f"{app}/events/2025-03-24/c.ndjson")
    blob.delete_blob()
    if change == "replaced":
        blob.upload_blob(events(9))
    with pytest.raises(SourceChanged, match=r"events/2025-03-24/c\.ndjson was .*while it was read"):
        all_slices(large, app, task_id, plan)
    failed = large.tasks.get(app, task_id)
    assert failed.state is TaskState.FAILED
    assert "c.ndjson was" in failed.error_details
    assert large.tasks.container_url(app, task_id) is None
    # What runs beside it, or comes late, finds nothing to do.
    assert large.task_writer.partition_slice(TaskRef(app, task_id), 1) == {}
    assert large.task_writer.plan(TaskRef(app, task_id)).slices == 0
    no_file(storage, app, task_id)
    # A task that had read the file before goes on.
    finish_large(large, app, other_id, other_plan)
    assert large.tasks.get(app, other_id).state is TaskState.SUCCEEDED


def partitioned(services: Services, app: str, landing: str) -> tuple[str, dict]:
    task_id, plan = started(services, app, landing)
    all_slices(services, app, task_id, plan)
    services.task_writer.write_bucket(TaskRef(app, task_id), 0)
    return task_id, plan


def test_given_a_landing_container_deleted_midway_then_one_task_fails(
    raw, large, storage, app, landing
) -> None:
    task_id, plan = partitioned(large, app, landing)
    elsewhere = f"landing-{app}-2"
    storage.container(elsewhere)
    other_id, other_plan = partitioned(large, app, storage.container_write_url(elsewhere, timedelta(hours=1)))
    storage.delete_container(f"landing-{app}")
    with pytest.raises(Rejected, match=r"refused the file \(ContainerNotFound\)"):
        all_buckets(large, app, task_id, plan)
    assert "ContainerNotFound" in large.tasks.get(app, task_id).error_details
    finish_large(large, app, other_id, other_plan)
    assert content(storage, elsewhere, f"Event-{other_id}.json")


def test_given_a_sas_that_expires_before_commit_then_failed_and_no_file(raw, large, storage, app) -> None:
    storage.container(f"landing-{app}")
    short = storage.container_write_url(f"landing-{app}", timedelta(hours=1))
    task_id, plan = partitioned(large, app, short)
    all_buckets(large, app, task_id, plan)
    # As if an hour had passed: the same container with a SAS of the past.
    past = storage.container_write_url(f"landing-{app}", timedelta(minutes=-5))
    secrets = storage.table("secrets")
    secrets.upsert_entity({"PartitionKey": app, "RowKey": task_id, "containerUrl": past})
    with pytest.raises(RequestError, match="has a SAS that expired"):
        large.task_writer.commit_file(TaskRef(app, task_id))
    assert large.tasks.get(app, task_id).state is TaskState.FAILED
    no_file(storage, app, task_id)


def test_given_a_work_container_that_is_gone_then_failed_with_reason(
    raw, large, storage, app, landing
) -> None:
    task_id, _ = partitioned(large, app, landing)
    storage.delete_container(f"work-{task_id}")
    with pytest.raises(DataError, match="was its work container deleted"):
        large.task_writer.commit_file(TaskRef(app, task_id))


def test_given_a_gzip_file_too_large_for_a_step_then_named_with_a_remedy(
    server, put_raw, app, landing
) -> None:
    services = server(EXPORT_SMALL_MB="0", EXPORT_GZIP_MB="0.0001")
    put_raw("events/2025-03-23/b.ndjson.gz", gzip.compress(events(2)))
    with pytest.raises(DataError, match=r"b\.ndjson\.gz has more than EXPORT_GZIP_MB .*split it"):
        started(services, app, landing)


def as_version_1(storage, app: str, task_id: str) -> None:
    """Rewrites a task's plan as the app wrote it before there were mappings."""
    plan = storage.read_json(f"work-{task_id}", "plan.json")
    given, spec = plan["input"], plan["spec"]
    blobs = [one["blob"] for one in given["files"]]
    plan["input"] = {"version": 1, "blobs": blobs, "ignored": given["ignored"]}
    spec["files"] = [file[:4] for file in spec["files"]]
    for name in ("mappings", "quoteFormulas", "slackDays"):
        del spec[name]
    storage.container(f"work-{task_id}").upload_blob("plan.json", json.dumps(plan), overwrite=True)


def test_given_a_plan_of_version_1_after_an_upgrade_then_the_task_goes_on(
    raw, services, large, storage, app, landing
) -> None:
    made = []
    for old in (False, True):
        for server in (services, large):
            task_id, plan = started(server, app, landing)
            if old:
                as_version_1(storage, app, task_id)
                plan = server.task_writer.plan(TaskRef(app, task_id))
            if plan.slices:
                finish_large(server, app, task_id, plan)
            else:
                server.export_tasks.finish(
                    TaskRef(app, task_id), Outcome(server.task_writer.write_file(plan))
                )
            done = server.tasks.get(app, task_id)
            assert (done.state, done.counts["files"]) == (TaskState.SUCCEEDED, 3)
            made.append(content(storage, f"landing-{app}", f"Event-{task_id}.json"))
    assert len(set(made)) == 1


def test_given_a_plan_of_a_later_version_then_the_task_is_told_what_to_do(
    raw, services, storage, app, landing
) -> None:
    task_id, _ = started(services, app, landing)
    plan = storage.read_json(f"work-{task_id}", "plan.json")
    plan["input"]["version"] = 3
    storage.container(f"work-{task_id}").upload_blob("plan.json", json.dumps(plan), overwrite=True)
    with pytest.raises(OtherVersion, match=r"deployed while it was running, see docs/upgrade\.md") as error:
        services.task_writer.plan(TaskRef(app, task_id))
    services.export_tasks.finish(TaskRef(app, task_id), Outcome(failure=Failure.of(error.value)))
    done = services.tasks.get(app, task_id)
    assert (done.state, "docs/upgrade.md" in done.error_details) == (TaskState.FAILED, True)
