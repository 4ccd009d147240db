"""Create, check and collect against a real account and a scripted Export API."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from mobexport.blob_paths import COMPLETE, EXPORTS_CONTAINER, parse_complete_path
from mobexport.errors import AttemptEnded, Cancelled, DataError, Rejected
from mobexport.pipeline.collect.collector import Collector
from mobexport.pipeline.jobs.export_jobs import ExportJobs, job_marker, landing_of
from mobexport.pipeline.jobs.poll_policy import PollPolicy, PollProgress
from mobexport.pipeline.jobs.source import Job
from mobexport.pipeline.registry.states import JobState, State
from mobexport.settings import SAS_MARGIN
from mobexport.storage import DataStorage, RawBlob

POLICY = PollPolicy(first=5, most=300, queue_deadline=3600, run_deadline=7200, total_deadline=10_000)
BEGAN = PollProgress.begin(datetime.now(UTC), datetime.now(UTC))


@pytest.fixture
def jobs(registry, source, storage) -> ExportJobs:
    return ExportJobs(registry, lambda _: source, storage)


@pytest.fixture
def collector(registry, storage) -> Collector:
    return Collector(registry, storage)


@pytest.fixture
def row(registry, make_request):
    return registry.request(make_request(), rerun=False)[0]


def create(jobs, registry, row) -> str:
    """Creates the job of the first attempt; its id."""
    jobs.create(row.ref, 3600)
    return registry.get(row.id).job_id


def test_given_a_new_attempt_then_its_job_has_a_container_of_its_own(
    jobs, registry, source, storage, row
) -> None:
    made = jobs.create(row.ref, 3600)
    after = registry.get(row.id)
    assert made == {"phase": "poll", "collect": True}
    assert (after.state, after.job_id) == (State.SUBMITTED, "job-1")
    assert after.landing.startswith("landing-")
    assert f"/{after.landing}?" in source.urls["job-1"]
    assert storage.container(after.landing, create=False).exists()


def test_given_a_repeated_step_when_created_then_one_job(jobs, source, row) -> None:
    assert jobs.create(row.ref, 3600) == jobs.create(row.ref, 3600)
    assert source.calls.count("create") == 1


def test_given_a_lost_answer_when_repeated_then_the_first_job_is_found(jobs, registry, source, row) -> None:
    source.lose_answer = True
    with pytest.raises(ConnectionError):
        jobs.create(row.ref, 3600)
    jobs.create(row.ref, 3600)
    assert source.calls.count("create") == 1
    assert registry.get(row.id).job_id == "job-1"


def test_given_a_cancelled_export_when_any_step_runs_then_cancelled(jobs, registry, row) -> None:
    registry.request_cancel(row.id)
    with pytest.raises(Cancelled):
        jobs.create(row.ref, 3600)


def test_given_an_unknown_state_when_checked_then_an_error_never_running(jobs, registry, source, row) -> None:
    job = create(jobs, registry, row)
    source.jobs[job] = Job(job, "Paused")
    error = jobs.check(row.ref, POLICY, BEGAN, datetime.now(UTC))[0].end.failure
    assert error.code == "UnknownState"
    assert "unknown state 'Paused'" in error.message


def test_given_a_job_under_way_then_the_export_shows_the_next_poll(jobs, registry, source, row) -> None:
    create(jobs, registry, row)
    source.jobs["job-1"] = replace(source.jobs["job-1"], state="Started", retry_after=120.0)
    later = PollProgress(6, 0, BEGAN.began, JobState.RUNNING, BEGAN.since)
    for progress, low, high in ((BEGAN, 120, 120), (later, 240, 360)):
        jobs.check(row.ref, POLICY, progress, datetime.now(UTC))
        shown = registry.get(row.id).progress
        assert shown["polls"] == progress.polls + 1
        at, then = (datetime.fromisoformat(shown[name]) for name in ("polledAt", "nextPollAt"))
        assert low <= round((then - at).total_seconds()) <= high
    source.jobs["job-1"] = replace(source.jobs["job-1"], state="Succeeded")
    jobs.check(row.ref, POLICY, later, datetime.now(UTC))
    assert "nextPollAt" not in registry.get(row.id).progress


def test_given_files_when_collected_then_copied_and_listed_last(
    jobs, collector, registry, source, storage, row
) -> None:
    job = create(jobs, registry, row)
    source.jobs[job] = Job(job, "Succeeded")
    assert jobs.check(row.ref, POLICY, BEGAN, datetime.now(UTC))[0].end.value == {"polls": 1}
    assert registry.get(row.id).state is State.COLLECTING
    landing = storage.container(registry.get(row.id).landing, create=False)
    landing.upload_blob("Event-1.json", b"[]")
    assert collector.collect(row.ref, accept_none=False) == {"files": 1}
    assert collector.collect(row.ref, accept_none=False) == {"files": 1}
    after = registry.get(row.id)
    complete = storage.read_json(EXPORTS_CONTAINER, after.folder + COMPLETE)
    assert [file["name"] for file in complete["files"]] == [after.files_folder + "Event-1.json"]
    assert (after.state, after.files) == (State.PROCESSING, 1)


def test_given_no_files_when_collected_then_none_until_accepted(
    jobs, collector, registry, source, row
) -> None:
    job = create(jobs, registry, row)
    source.jobs[job] = Job(job, "Succeeded")
    jobs.check(row.ref, POLICY, BEGAN, datetime.now(UTC))
    assert collector.collect(row.ref, accept_none=False) == {"none": True}
    assert collector.collect(row.ref, accept_none=True) == {"files": 0}


def test_given_the_sas_of_a_job_when_used_then_it_writes_and_cannot_read(
    jobs, registry, source, storage, row
) -> None:
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import ContainerClient

    job = create(jobs, registry, row)
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


def test_given_two_tasks_of_one_attempt_then_one_is_read_one_purged(
    jobs, registry, source, storage, row
) -> None:
    # Two workers at once: neither finds the other's task, both create one.
    hidden, source.find_by_marker = source.find_by_marker, lambda request, token: []
    jobs.create(row.ref, 3600)
    jobs._win(row, source, [jobs._create(row, source, job_marker(row), 3600)])
    source.find_by_marker = hidden
    after = registry.get(row.id)
    assert (after.job_id, after.orphans) == ("job-1", ("job-2",))
    assert storage.container(landing_of(source.jobs["job-1"]), create=False).exists()
    assert not storage.container(landing_of(source.jobs["job-2"]), create=False).exists()


def test_given_many_tasks_after_a_crash_then_oldest_wins_and_none_is_made(
    jobs, registry, source, row
) -> None:
    for _ in range(2):
        jobs._create(row, source, job_marker(row), 3600)
    jobs.create(row.ref, 3600)
    assert (registry.get(row.id).job_id, registry.get(row.id).orphans) == ("job-1", ("job-2",))
    assert source.calls.count("create") == 2


@pytest.mark.parametrize("name", ["exports", "curated", "landing-../curated", "", "landing-XYZ"])
def test_given_a_task_that_names_another_container_then_it_is_not_ours(
    jobs, registry, source, row, name: str
) -> None:
    source.jobs["job-0"] = Job("job-0", "Queued", job_marker(row) + name)
    jobs.create(row.ref, 3600)
    assert registry.get(row.id).job_id != "job-0"


def test_given_a_cancel_after_the_copy_then_the_cancel_still_wins(
    jobs, collector, registry, source, storage, row, monkeypatch
) -> None:
    job = create(jobs, registry, row)
    source.jobs[job] = replace(source.jobs[job], state="Succeeded")
    jobs.check(row.ref, POLICY, BEGAN, datetime.now(UTC))
    storage.container(registry.get(row.id).landing, create=False).upload_blob("Event-1.json", b"[]")
    copy = DataStorage.copy_blob

    def cancelled_meanwhile(self, *args):
        registry.request_cancel(row.id)
        return copy(self, *args)

    monkeypatch.setattr(DataStorage, "copy_blob", cancelled_meanwhile)
    with pytest.raises(Cancelled):
        collector.collect(row.ref, accept_none=False)
    assert storage.read_json(EXPORTS_CONTAINER, row.folder + COMPLETE) is None


def test_given_a_task_not_shown_yet_then_retried_unless_seen_before(jobs, registry, source, row) -> None:
    job = create(jobs, registry, row)
    shown = source.jobs.pop(job)

    def gone(request, job_id):
        if job_id not in source.jobs:
            raise Rejected("no such task", status=404)
        return source.jobs[job_id]

    source.status = gone
    assert jobs.check(row.ref, POLICY, BEGAN, datetime.now(UTC))[0].end is None
    source.jobs[job] = shown
    jobs.check(row.ref, POLICY, BEGAN, datetime.now(UTC))
    del source.jobs[job]
    assert jobs.check(row.ref, POLICY, BEGAN, datetime.now(UTC))[0].end.failure.code == "Rejected"


def test_given_a_job_planted_by_a_guess_then_one_of_our_own(jobs, registry, source, storage, row) -> None:
    landing = f"landing-{'0' * 20}"
    storage.container(landing)
    guesses = [f"mobexport/{row.id}/1/{guess}{landing}" for guess in ("", "0/")]
    planted = [source.create(row.request, "", guess).id for guess in guesses]
    create(jobs, registry, row)
    assert registry.get(row.id).job_id not in planted


def test_given_a_new_attempt_then_its_marker_is_another(registry, row) -> None:
    registry.change(row.ref, lambda now: replace(now, state=State.FAILED))
    again, _ = registry.request(row.request, rerun=True)
    assert (again.attempt, len({row.marker, again.marker, None})) == (2, 3)


def test_given_an_ended_attempt_then_a_repeated_step_does_nothing(jobs, registry, source, row) -> None:
    registry.change(row.ref, lambda now: replace(now, state=State.FAILED))
    with pytest.raises(AttemptEnded):
        jobs.create(row.ref, 3600)
    assert source.calls == []


@pytest.mark.parametrize(
    "name",
    [
        "a\nb.json",
        "a\u202egnp.json",
        "x" * 501,
        "a//b.json",
    ],
)
def test_given_a_name_that_cannot_be_used_then_the_attempt_fails_at_once(
    jobs, registry, collector, storage, row, name: str
) -> None:
    create(jobs, registry, row)
    storage.container(registry.get(row.id).landing).upload_blob(name, b"[]")
    with pytest.raises(DataError, match="whose name cannot be used") as raised:
        collector.collect(row.ref, accept_none=True)
    assert (raised.value.retryable, raised.value.own_code) == (False, "UnfitFileName")
    assert raised.value.message.isprintable()
    assert len(raised.value.message) < 300
    assert list(storage.list_blobs(EXPORTS_CONTAINER, registry.get(row.id).folder)) == []


def test_given_files_with_names_of_ours_then_they_are_files_like_others(
    jobs, registry, collector, storage, row
) -> None:
    create(jobs, registry, row)
    names = ["1/_complete.json", "_complete.json", "_converted/0.json"]
    for name in names:
        storage.container(registry.get(row.id).landing).upload_blob(name, b'{"files":[]}')
    assert collector.collect(row.ref, accept_none=True) == {"files": 3}
    after = registry.get(row.id)
    complete = storage.read_json(EXPORTS_CONTAINER, after.folder + COMPLETE)
    assert [file["name"] for file in complete["files"]] == [after.files_folder + name for name in names]
    assert storage.read_json(EXPORTS_CONTAINER, f"{after.folder}_converted/0.json") is None
    # The blob trigger may be told of each: only one is a list of files.
    names = [blob.name for blob in storage.list_blobs(EXPORTS_CONTAINER, after.folder)]
    paths = [f"{EXPORTS_CONTAINER}/{name}" for name in names]
    assert [found for path in paths if (found := parse_complete_path(path))] == [row.ref]


def test_given_a_nul_in_a_files_name_then_the_attempt_fails_at_once(
    jobs, registry, collector, row, monkeypatch
) -> None:
    # Storage takes such a name and lists it; the emulator cannot list it any more.
    create(jobs, registry, row)
    monkeypatch.setattr(DataStorage, "list_blobs", lambda *_: iter([RawBlob("a\0b.json", '"e"', 2)]))
    with pytest.raises(DataError, match=r"'a b\.json' has a control character"):
        collector.collect(row.ref, accept_none=True)
