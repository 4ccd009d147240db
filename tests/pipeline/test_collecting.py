"""Create, check and collect against a real account and a scripted Export API."""

import pytest

from mobexport.errors import Rejected
from mobexport.pipeline.collecting import COMPLETE, Cancelled, Collector, export_folder
from mobexport.pipeline.source import Job
from mobexport.pipeline.states import State
from mobexport.storage import EXPORTS_CONTAINER


@pytest.fixture
def collector(registry, source, storage) -> Collector:
    return Collector(registry, source, storage)


@pytest.fixture
def row(registry, make_request):
    return registry.request(make_request(), rerun=False)[0]


def test_given_a_new_attempt_when_created_then_the_job_has_a_container_of_its_own(
    collector, registry, source, storage, row
) -> None:
    made = collector.create_job(row.id, 1, 3600)
    after = registry.get(row.id)
    assert (after.state, after.job_id) == (State.SUBMITTED, made["jobId"])
    assert after.landing.startswith("landing-")
    assert f"/{after.landing}?" in source.urls[made["jobId"]]
    assert storage.container(after.landing, create=False).exists()


def test_given_a_repeated_step_when_created_then_one_job(collector, source, row) -> None:
    assert collector.create_job(row.id, 1, 3600) == collector.create_job(row.id, 1, 3600)
    assert source.calls.count("create") == 1


def test_given_a_lost_answer_when_created_again_then_the_first_job_is_found(
    collector, registry, source, row
) -> None:
    source.lose_answer = True
    with pytest.raises(ConnectionError):
        collector.create_job(row.id, 1, 3600)
    collector.create_job(row.id, 1, 3600)
    assert source.calls.count("create") == 1
    assert registry.get(row.id).job_id == "job-1"


def test_given_a_cancelled_export_when_any_step_runs_then_cancelled(collector, registry, row) -> None:
    registry.request_cancel(row.id)
    with pytest.raises(Cancelled):
        collector.create_job(row.id, 1, 3600)


def test_given_an_unknown_state_when_checked_then_an_error_never_running(collector, source, row) -> None:
    job = collector.create_job(row.id, 1, 3600)["jobId"]
    source.jobs[job] = Job(job, "Paused")
    with pytest.raises(Rejected, match="unknown state 'Paused'"):
        collector.check_job(row.id, 1, 0)


def test_given_files_when_collected_then_copied_and_listed_last(
    collector, registry, source, storage, row
) -> None:
    job = collector.create_job(row.id, 1, 3600)["jobId"]
    source.jobs[job] = Job(job, "Succeeded")
    assert collector.check_job(row.id, 1, 0)["state"] == State.COLLECTING
    landing = storage.container(registry.get(row.id).landing, create=False)
    landing.upload_blob("Event-1.json", b"[]")
    assert collector.collect(row.id, 1, accept_none=False) == {"files": 1}
    assert collector.collect(row.id, 1, accept_none=False) == {"files": 1}
    after = registry.get(row.id)
    complete = storage.read_json(EXPORTS_CONTAINER, export_folder(after) + COMPLETE)
    assert [file["name"] for file in complete["files"]] == [export_folder(after) + "Event-1.json"]
    assert (after.state, after.files) == (State.PROCESSING, 1)


def test_given_no_files_when_collected_then_none_until_accepted(collector, registry, source, row) -> None:
    job = collector.create_job(row.id, 1, 3600)["jobId"]
    source.jobs[job] = Job(job, "Succeeded")
    collector.check_job(row.id, 1, 0)
    assert collector.collect(row.id, 1, accept_none=False) == {"none": True}
    assert collector.collect(row.id, 1, accept_none=True) == {"files": 0}


def test_given_the_sas_of_a_job_when_used_then_it_writes_and_cannot_read(
    collector, source, storage, row
) -> None:
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import ContainerClient

    job = collector.create_job(row.id, 1, 3600)["jobId"]
    client = ContainerClient.from_container_url(source.urls[job])
    client.upload_blob("x.json", b"[]")
    with pytest.raises(HttpResponseError):
        client.download_blob("x.json").readall()
    with pytest.raises(HttpResponseError):
        list(client.list_blobs())
