"""Create, check and collect against a real account and a scripted Export API."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from mobexport.errors import Rejected, Transient
from mobexport.pipeline.collect.collector import (
    COMPLETE,
    Cancelled,
    Collector,
    Ended,
    export_folder,
    job_token,
    landing_of,
)
from mobexport.pipeline.jobs.poll_policy import PollPolicy, PollProgress
from mobexport.pipeline.jobs.source import Job
from mobexport.pipeline.registry.states import State
from mobexport.settings import SAS_MARGIN
from mobexport.storage import EXPORTS_CONTAINER, DataStorage

POLICY = PollPolicy(first=5, most=300, queue_deadline=3600, run_deadline=7200, total_deadline=10_000)
BEGAN = PollProgress(0, 0, datetime.now(UTC), State.QUEUED, datetime.now(UTC))


@pytest.fixture
def collector(registry, source, storage) -> Collector:
    return Collector(registry, source, storage)


@pytest.fixture
def row(registry, make_request):
    return registry.request(make_request(), rerun=False)[0]


def create(collector, registry, row) -> str:
    """Creates the job of the first attempt; its id."""
    collector.create_job(row.id, 1, 3600)
    return registry.get(row.id).job_id


def test_given_a_new_attempt_when_created_then_the_job_has_a_container_of_its_own(
    collector, registry, source, storage, row
) -> None:
    made = collector.create_job(row.id, 1, 3600)
    after = registry.get(row.id)
    assert made == {"phase": "poll", "began": after.began_at, "collect": True}
    assert (after.state, after.job_id) == (State.SUBMITTED, "job-1")
    assert after.landing.startswith("landing-")
    assert f"/{after.landing}?" in source.urls["job-1"]
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


def test_given_an_unknown_state_when_checked_then_an_error_never_running(
    collector, registry, source, row
) -> None:
    job = create(collector, registry, row)
    source.jobs[job] = Job(job, "Paused")
    with pytest.raises(Rejected, match="unknown state 'Paused'"):
        collector.check_job(row.id, 1, POLICY, BEGAN)


def test_given_a_job_under_way_when_checked_then_the_export_shows_when_the_next_poll_is(
    collector, registry, source, row
) -> None:
    create(collector, registry, row)
    source.jobs["job-1"] = replace(source.jobs["job-1"], state="Started", retry_after=120.0)
    later = PollProgress(6, 0, BEGAN.began, State.RUNNING, BEGAN.since)
    for progress, low, high in ((BEGAN, 120, 120), (later, 240, 360)):
        collector.check_job(row.id, 1, POLICY, progress)
        shown = registry.get(row.id).progress
        assert shown["polls"] == progress.polls + 1
        at, then = (datetime.fromisoformat(shown[name]) for name in ("polledAt", "nextPollAt"))
        assert low <= round((then - at).total_seconds()) <= high
    source.jobs["job-1"] = replace(source.jobs["job-1"], state="Succeeded")
    collector.check_job(row.id, 1, POLICY, later)
    assert "nextPollAt" not in registry.get(row.id).progress


def test_given_files_when_collected_then_copied_and_listed_last(
    collector, registry, source, storage, row
) -> None:
    job = create(collector, registry, row)
    source.jobs[job] = Job(job, "Succeeded")
    assert collector.check_job(row.id, 1, POLICY, BEGAN)["state"] == State.COLLECTING
    landing = storage.container(registry.get(row.id).landing, create=False)
    landing.upload_blob("Event-1.json", b"[]")
    assert collector.collect(row.id, 1, accept_none=False) == {"files": 1}
    assert collector.collect(row.id, 1, accept_none=False) == {"files": 1}
    after = registry.get(row.id)
    complete = storage.read_json(EXPORTS_CONTAINER, export_folder(after) + COMPLETE)
    assert [file["name"] for file in complete["files"]] == [export_folder(after) + "Event-1.json"]
    assert (after.state, after.files) == (State.PROCESSING, 1)


def test_given_no_files_when_collected_then_none_until_accepted(collector, registry, source, row) -> None:
    job = create(collector, registry, row)
    source.jobs[job] = Job(job, "Succeeded")
    collector.check_job(row.id, 1, POLICY, BEGAN)
    assert collector.collect(row.id, 1, accept_none=False) == {"none": True}
    assert collector.collect(row.id, 1, accept_none=True) == {"files": 0}


def test_given_the_sas_of_a_job_when_used_then_it_writes_and_cannot_read(
    collector, registry, source, storage, row
) -> None:
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import ContainerClient

    job = create(collector, registry, row)
    client = ContainerClient.from_container_url(source.urls[job])
    query = parse_qs(urlsplit(source.urls[job]).query)
    assert query["sp"] == ["cw"]
    # It outlives the deadline, counted from the attempt's begin, by the margin and no more.
    ends = datetime.fromisoformat(row.began_at) + timedelta(seconds=3600) + SAS_MARGIN
    assert abs(datetime.fromisoformat(query["se"][0]) - ends) < timedelta(minutes=2)
    client.upload_blob("x.json", b"[]")
    with pytest.raises(HttpResponseError):
        client.download_blob("x.json").readall()
    with pytest.raises(HttpResponseError):
        list(client.list_blobs())


def test_given_two_tasks_of_one_attempt_when_created_then_one_is_read_the_other_recorded_and_purged(
    collector, registry, source, storage, row
) -> None:
    # Two workers at once: neither finds the other's task, both create one.
    hidden, source.find_by_token = source.find_by_token, lambda request, token: []
    collector.create_job(row.id, 1, 3600)
    stale = replace(registry.get(row.id), job_id=None)
    collector._win(stale, [collector._create(stale, job_token(row), 3600)])
    source.find_by_token = hidden
    after = registry.get(row.id)
    assert (after.job_id, after.orphans) == ("job-1", ("job-2",))
    assert storage.container(landing_of(source.jobs["job-1"]), create=False).exists()
    assert not storage.container(landing_of(source.jobs["job-2"]), create=False).exists()


def test_given_several_tasks_after_a_crash_when_created_again_then_the_oldest_wins_and_no_new_one_is_made(
    collector, registry, source, row
) -> None:
    for _ in range(2):
        collector._create(row, job_token(row), 3600)
    collector.create_job(row.id, 1, 3600)
    assert (registry.get(row.id).job_id, registry.get(row.id).orphans) == ("job-1", ("job-2",))
    assert source.calls.count("create") == 2


@pytest.mark.parametrize("name", ["exports", "curated", "landing-../curated", "", "landing-XYZ"])
def test_given_a_task_whose_description_names_another_container_when_created_then_it_is_not_ours(
    collector, registry, source, row, name: str
) -> None:
    source.jobs["job-0"] = Job("job-0", "Queued", job_token(row) + name)
    collector.create_job(row.id, 1, 3600)
    assert registry.get(row.id).job_id != "job-0"


def test_given_a_cancel_between_the_copy_and_the_end_of_collecting_when_collected_then_the_cancel_wins(
    collector, registry, source, storage, row, monkeypatch
) -> None:
    job = create(collector, registry, row)
    source.jobs[job] = replace(source.jobs[job], state="Succeeded")
    collector.check_job(row.id, 1, POLICY, BEGAN)
    storage.container(registry.get(row.id).landing, create=False).upload_blob("Event-1.json", b"[]")
    copy = DataStorage.copy_blob

    def cancelled_meanwhile(self, *args):
        registry.request_cancel(row.id)
        return copy(self, *args)

    monkeypatch.setattr(DataStorage, "copy_blob", cancelled_meanwhile)
    with pytest.raises(Cancelled):
        collector.collect(row.id, 1, accept_none=False)
    assert storage.read_json(EXPORTS_CONTAINER, export_folder(row) + COMPLETE) is None


def test_given_a_task_that_shows_late_when_checked_then_tried_again_but_not_once_it_was_seen(
    collector, registry, source, row
) -> None:
    job = create(collector, registry, row)
    shown = source.jobs.pop(job)

    def gone(request, job_id):
        if job_id not in source.jobs:
            raise Rejected("no such task", status=404)
        return source.jobs[job_id]

    source.status = gone
    with pytest.raises(Transient):
        collector.check_job(row.id, 1, POLICY, BEGAN)
    source.jobs[job] = shown
    collector.check_job(row.id, 1, POLICY, BEGAN)
    del source.jobs[job]
    with pytest.raises(Rejected):
        collector.check_job(row.id, 1, POLICY, BEGAN)


def test_given_an_attempt_that_ended_when_a_step_comes_again_then_it_does_nothing(
    collector, registry, source, row
) -> None:
    registry.change(row.id, 1, lambda now: replace(now, state=State.FAILED))
    with pytest.raises(Ended):
        collector.create_job(row.id, 1, 3600)
    assert source.calls == []
