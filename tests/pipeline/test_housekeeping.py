"""Reconcile and purge over a real account: what was left undone goes on, what is past its time goes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mobexport.blob_paths import COMPLETE, CURATED_CONTAINER, EXPORTS_CONTAINER, pointer_name
from mobexport.clock import stamp
from mobexport.errors import Transient
from mobexport.pipeline.finishing import Finisher
from mobexport.pipeline.jobs.export_jobs import ExportJobs, job_marker, landing_of
from mobexport.pipeline.process.processor import Processor
from mobexport.pipeline.purging import Purger
from mobexport.pipeline.reconciling import STALLED, Reconciler
from mobexport.pipeline.registry.states import State
from mobexport.settings import read_settings

LATER = timedelta(hours=2)


@pytest.fixture
def settings(azurite):
    return read_settings(
        {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    )


@pytest.fixture
def reconciler(registry, storage, source, settings) -> Reconciler:
    finisher = Finisher(registry, storage, Processor(registry, storage, settings), lambda _: source)
    return Reconciler(registry, storage, finisher, lambda _: source, 1.0)


@pytest.fixture
def ended(registry, storage, source, make_request):
    """An export that succeeded with one file; its landing container is still there."""
    row, _ = registry.request(make_request(), rerun=False)
    ExportJobs(registry, lambda _: source, storage).create(row.ref, 3600)
    row = registry.get(row.id)
    storage.container(row.landing, create=False).upload_blob("Event-1.json", b"[]")
    folder = row.folder
    complete = {"version": 1, "files": [{"name": f"{folder}Event-1.json", "etag": "x", "size": 2}]}
    storage.write_json(EXPORTS_CONTAINER, folder + COMPLETE, complete)
    return registry.amend(
        row.id, lambda now: replace(now, state=State.SUCCEEDED, manifest="m", ended_at=stamp())
    )


def mine(rows, row) -> list[str]:
    return [found.id for found in rows if found.id == row.id]


def test_given_a_quiet_attempt_when_reconciled_then_it_is_to_go_on_a_lively_one_is_left_alone(
    reconciler, registry, make_request
) -> None:
    row, _ = registry.request(make_request(), rerun=False)
    now = datetime.now(UTC)
    assert mine(reconciler.look(now)[0], row) == []
    assert mine(reconciler.look(now + STALLED + timedelta(minutes=1))[0], row) == [row.id]


def test_given_an_owed_notification_when_reconciled_then_it_is_to_be_made(
    reconciler, registry, ended
) -> None:
    registry.record_delivery(ended.ref, "hook", {"event": "completed", "state": "Retrying"})
    assert mine(reconciler.look(datetime.now(UTC))[1], ended) == [ended.id]
    registry.record_delivery(ended.ref, "hook", {"event": "completed", "state": "Delivered"})
    assert mine(reconciler.look(datetime.now(UTC))[1], ended) == []


def test_given_a_collected_container_when_its_time_is_over_then_deleted_not_before(
    reconciler, registry, storage, ended
) -> None:
    reconciler.look(datetime.now(UTC))
    assert storage.container(ended.landing, create=False).exists()
    reconciler.look(datetime.now(UTC) + LATER)
    assert not storage.container(ended.landing, create=False).exists()
    assert not registry.get(ended.id).open


def test_given_a_file_that_came_late_when_reconciled_then_reported_and_kept(
    reconciler, registry, storage, ended, caplog
) -> None:
    storage.container(ended.landing, create=False).upload_blob("Event-2.json", b"[{}]")
    reconciler.look(datetime.now(UTC) + LATER)
    after = registry.get(ended.id)
    assert (after.late_files, after.open) == ((f"{ended.landing}/Event-2.json",), False)
    assert "came late" in caplog.text
    assert storage.container(ended.landing, create=False).exists()


def test_given_a_task_that_showed_up_late_when_reconciled_then_recorded_and_its_container_deleted(
    reconciler, registry, storage, source, ended
) -> None:
    other = ExportJobs(registry, lambda _: source, storage)._create(ended, source, job_marker(ended), 3600)
    reconciler.look(datetime.now(UTC) + LATER)
    assert registry.get(ended.id).orphans == (other.id,)
    assert not storage.container(landing_of(other), create=False).exists()


def test_given_an_api_that_is_down_when_reconciled_then_the_container_goes_all_the_same(
    reconciler, registry, source, ended
) -> None:
    def down(*_):
        raise Transient("down")

    source.find_by_marker = down
    reconciler.look(datetime.now(UTC) + LATER)
    assert not registry.get(ended.id).open


@pytest.fixture
def purger(registry, storage, settings) -> Purger:
    return Purger(registry, storage, settings)


def test_given_old_containers_when_purged_then_gone_but_not_one_that_is_collected_from(
    purger, registry, storage, ended
) -> None:
    for name in ("landing-00000000000000000000", "work-x1", "unrelated"):
        storage.container(name)
    purger.purge(datetime.now(UTC) + timedelta(days=7))
    assert storage.container("work-x1", create=False).exists()
    purger.purge(datetime.now(UTC) + timedelta(days=9))
    exists = {
        name: storage.container(name, create=False).exists()
        for name in ("landing-00000000000000000000", "work-x1", "unrelated", ended.landing)
    }
    assert exists == {
        "landing-00000000000000000000": False, "work-x1": False, "unrelated": True, ended.landing: True
    }  # fmt: skip


def test_given_files_in_curated_when_purged_then_only_old_ones_that_nothing_names_and_nobody_writes(
    purger, registry, storage, make_request
) -> None:
    running, _ = registry.request(make_request(), rerun=False)
    folder = running.day_folder(running.request.days[0])
    named, superseded = f"{folder}a-1-0.parquet", f"{folder}a-0-0.parquet"
    written, pushed = f"{folder}{running.id}-1-0.parquet", f"{folder}p-1-0.parquet"
    curated = storage.container(CURATED_CONTAINER)
    for name in (named, superseded, written, pushed):
        curated.upload_blob(name, b"x")
    storage.write_json(CURATED_CONTAINER, folder + pointer_name(None), {"files": [named]})
    storage.write_json(CURATED_CONTAINER, f"{folder}_current-Poll.json", {"files": [pushed]})

    def left() -> set[str]:
        return {blob.name for blob in storage.list_blobs(CURATED_CONTAINER, folder) if "parquet" in blob.name}

    purger.purge(datetime.now(UTC) + timedelta(hours=47))
    assert superseded in left()
    purger.purge(datetime.now(UTC) + timedelta(hours=49))
    assert left() == {named, written, pushed}


def test_given_rows_when_purged_then_only_old_ones_with_nothing_left_to_do(
    purger, registry, make_request
) -> None:
    running, _ = registry.request(make_request(app="purge-running"), rerun=False)
    done, _ = registry.request(make_request(app="purge-done"), rerun=False)
    registry.amend(done.id, lambda now: replace(now, state=State.FAILED))
    purger.purge(datetime.now(UTC) + timedelta(days=364))
    assert registry.find(done.id)
    purger.purge(datetime.now(UTC) + timedelta(days=366))
    assert registry.find(done.id) is None
    assert registry.find(running.id)
