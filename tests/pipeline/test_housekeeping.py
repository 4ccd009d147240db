"""Reconcile and purge over a real account: what was left undone goes on, what is past its time goes."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from mobexport import export_types
from mobexport.blob_labels import README, READMES
from mobexport.blob_paths import COMPLETE, CURATED_CONTAINER, EXPORTS_CONTAINER, landing_prefix
from mobexport.clock import stamp
from mobexport.errors import Transient
from mobexport.heavy import HeavySteps
from mobexport.pipeline.finishing import Finisher
from mobexport.pipeline.jobs.export_jobs import ExportJobs, job_marker, landing_of
from mobexport.pipeline.process.processor import Processor
from mobexport.pipeline.purging import Purger
from mobexport.pipeline.reconciling import Reconciler
from mobexport.pipeline.registry.export_row import shortened
from mobexport.pipeline.registry.states import State
from mobexport.pipeline.requests.export_list import parse_list_query
from mobexport.pipeline.requests.signed_calls import SignedCalls
from mobexport.settings import read_settings
from mobexport.tables.commit import NewFile, TableCommit
from mobexport.tables.tables import Tables
from mobexport.tables.upkeep import TableUpkeep
from mobexport.wire import Outcome

LATER = timedelta(hours=2)


@pytest.fixture
def settings(azurite):
    return read_settings(
        {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    )


@pytest.fixture
def reconciler(registry, storage, source, settings) -> Reconciler:
    finisher = Finisher(
        registry,
        storage,
        Processor(registry, storage, settings, Tables(storage), HeavySteps(storage)),
        lambda _: source,
    )
    return Reconciler(registry, storage, finisher, lambda _: source, 1.0)


@pytest.fixture
def ended(registry, storage, source, make_request):
    """An export that succeeded with one file; its landing container is still there."""
    row, _ = registry.request(make_request(), rerun=False)
    ExportJobs(registry, lambda _: source, storage).create(row.ref, 3600)
    row = registry.get(row.id)
    storage.container(row.landing, create=False).upload_blob("Event-1.json", b"[]")
    folder = row.folder
    complete = {"version": 1, "files": [{"name": f"{row.files_folder}Event-1.json", "etag": "x", "size": 2}]}
    storage.write_json(EXPORTS_CONTAINER, folder + COMPLETE, complete)
    return registry.amend(
        row.id, lambda now: replace(now, state=State.SUCCEEDED, manifest="m", ended_at=stamp())
    )


def mine(rows, row) -> list[str]:
    return [found.id for found in rows if found.id == row.id]


def test_given_anything_left_to_do_then_the_row_is_open(reconciler, registry, make_request) -> None:
    row, _ = registry.request(make_request(), rerun=False)
    assert mine(reconciler.open_rows(datetime.now(UTC)), row) == [row.id]
    landed = registry.amend(
        row.id, lambda now: replace(now, state=State.FAILED, deliveries={"1/hook": {"state": "Retrying"}})
    )
    assert mine(reconciler.open_rows(datetime.now(UTC)), landed) == [row.id]
    registry.record_delivery(landed.ref, "hook", {"event": "failed", "state": "Delivered"})
    assert mine(reconciler.open_rows(datetime.now(UTC)), landed) == []


def test_given_a_restart_then_counted_until_the_attempt_has_ended(registry, make_request) -> None:
    row, _ = registry.request(make_request(), rerun=False)
    assert [registry.count_restart(row.ref).restarts for _ in range(2)] == [1, 2]
    assert registry.count_restart(replace(row.ref, attempt=2)) is None
    registry.amend(row.id, lambda now: replace(now, state=State.FAILED))
    assert registry.count_restart(row.ref) is None
    again, _ = registry.request(make_request(), rerun=False)
    assert (again.attempt, again.restarts) == (2, 0)


def test_given_a_collected_container_then_deleted_only_after_its_time(
    reconciler, registry, storage, ended
) -> None:
    reconciler.open_rows(datetime.now(UTC))
    assert storage.container(ended.landing, create=False).exists()
    reconciler.open_rows(datetime.now(UTC) + LATER)
    assert not storage.container(ended.landing, create=False).exists()
    assert not registry.get(ended.id).open


def test_given_an_attempt_that_failed_then_no_container_is_left(
    reconciler, registry, storage, source, make_request
) -> None:
    row, _ = registry.request(make_request(), rerun=True)
    jobs = ExportJobs(registry, lambda _: source, storage)
    # Created, and nobody ever heard of it.
    lost = [landing_of(jobs._create(row, source, job_marker(row), 3600)) for _ in range(2)]
    other = "landing-00000000000000000000"
    for name in (*lost, other):
        storage.container(name)
    reconciler.finisher.finish(row.ref, Outcome.failed("Transient", "away", kind="remote"))
    assert [storage.container(name, create=False).exists() for name in (*lost, other)] == [False, False, True]


@pytest.mark.parametrize("known", ["a repeated step", "a restart", "the tick alone"])
def test_given_a_job_nobody_knows_then_its_container_does_not_stay(
    reconciler, registry, storage, source, make_request, known: str
) -> None:
    row, _ = registry.request(make_request(), rerun=True)
    jobs = ExportJobs(registry, lambda _: source, storage)
    jobs._create(row, source, job_marker(row), 3600)
    source.jobs.clear()
    if known == "a restart":
        registry.count_restart(row.ref)
    jobs.create(row.ref, 3600, repeated=known == "a repeated step")
    row = registry.get(row.id)
    if known == "the tick alone":
        registry.amend(
            row.id, lambda now: replace(now, state=State.SUCCEEDED, manifest="m", ended_at=stamp())
        )
        reconciler.open_rows(datetime.now(UTC) + LATER)
    left = [name for name, _ in storage.list_containers(landing_prefix(row.marker))]
    assert left == ([] if known == "the tick alone" else [row.landing])


def test_given_a_late_file_when_reconciled_then_reported_and_kept(
    reconciler, registry, storage, ended, caplog
) -> None:
    storage.container(ended.landing, create=False).upload_blob("Event-2.json", b"[{}]")
    reconciler.open_rows(datetime.now(UTC) + LATER)
    after = registry.get(ended.id)
    assert (after.late_files, after.open) == ((f"{ended.landing}/Event-2.json",), False)
    assert "came late" in caplog.text
    assert storage.container(ended.landing, create=False).exists()


def test_given_a_task_that_showed_up_late_then_recorded_and_cleaned_up(
    reconciler, registry, storage, source, ended
) -> None:
    other = ExportJobs(registry, lambda _: source, storage)._create(ended, source, job_marker(ended), 3600)
    reconciler.open_rows(datetime.now(UTC) + LATER)
    assert registry.get(ended.id).orphans == (other.id,)
    assert not storage.container(landing_of(other), create=False).exists()


def test_given_an_api_down_when_reconciled_then_container_still_deleted(
    reconciler, registry, source, ended
) -> None:
    def down(*_):
        raise Transient("down")

    source.find_by_marker = down
    reconciler.open_rows(datetime.now(UTC) + LATER)
    assert not registry.get(ended.id).open


@pytest.fixture
def purger(registry, storage, settings) -> Purger:
    return purger_of(registry, storage, settings)


def purger_of(registry, storage, settings) -> Purger:
    history = timedelta(days=settings.table_history_days)
    upkeep = TableUpkeep(Tables(storage), HeavySteps(storage), history)
    return Purger(registry, storage, settings, SignedCalls(storage), upkeep)


def test_given_old_containers_then_purged_unless_still_collected_from(
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


def test_given_containers_without_a_readme_when_purged_then_there_is_one(purger, storage) -> None:
    for container in (EXPORTS_CONTAINER, CURATED_CONTAINER):
        storage.container(container)
        storage.delete_blob(container, README)
    storage.container("raw")
    purger.purge(datetime.now(UTC))
    for container in (EXPORTS_CONTAINER, CURATED_CONTAINER):
        assert storage.container(container).download_blob(README).readall() == READMES[container].encode()
    # To raw data the app writes nothing.
    assert not storage.container("raw").get_blob_client(README).exists()


def test_given_curated_files_when_purged_then_old_ones_that_do_not_count(
    registry, storage, settings, make_request
) -> None:
    tables = Tables(storage)
    app, day = make_request().app, date(2025, 3, 23)
    event = export_types.get("Event")

    def commit(export_id: str, second: int) -> str:
        path = f"{app}/Event/date={day}/{export_id}.parquet"
        storage.container(CURATED_CONTAINER).upload_blob(path, b"x")
        at = datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
        tables.commit(TableCommit(app, event, export_id, 1, at, (day,), [NewFile(path, day, 1, 1)]))
        return path

    first, second = commit("first", 1), commit("second", 2)
    written = f"{app}/Event/date={day}/running.parquet"
    storage.container(CURATED_CONTAINER).upload_blob(written, b"x")

    def left() -> set[str]:
        names = {blob.name for blob in storage.list_blobs(CURATED_CONTAINER, f"{app}/")}
        return {name for name in names if name.endswith(".parquet") and "_delta_log" not in name}

    purger_of(registry, storage, settings).purge(datetime.now(UTC))
    assert left() == {first, second, written}
    # As if the history were over at once: what counts stays, whatever its age.
    over = settings.model_copy(update={"table_history_days": 0})
    purger_of(registry, storage, over).purge(datetime.now(UTC) - LATER)
    assert left() == {second}


def test_given_an_attempt_that_stood_still_when_purged_then_its_files_stay(
    registry, storage, settings, make_request
) -> None:
    """An app that was stopped for longer than the history goes on with the files it had written."""
    row, _ = registry.request(make_request(), rerun=False)
    day, event = date(2025, 3, 23), export_types.get("Event")
    tables, app = Tables(storage), row.request.app
    tables.commit(TableCommit(app, event, "other", 1, datetime(2026, 1, 1, tzinfo=UTC), (day,), ()))
    path = f"{app}/Event/date={day}/{row.id}-1-0.parquet"
    storage.container(CURATED_CONTAINER).upload_blob(path, b"x")
    over = settings.model_copy(update={"table_history_days": 0})
    purger_of(registry, storage, over).purge(datetime.now(UTC))
    assert [blob.name for blob in storage.list_blobs(CURATED_CONTAINER, path)] == [path]
    registry.amend(row.id, lambda now: replace(now, state=State.FAILED))
    purger_of(registry, storage, over).purge(datetime.now(UTC))
    assert [blob.name for blob in storage.list_blobs(CURATED_CONTAINER, path)] == []


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
    listed = [registry.page(parse_list_query({"app": row.request.app})).rows for row in (done, running)]
    assert [len(rows) for rows in listed] == [0, 1]


def test_given_one_export_that_cannot_be_cleared_then_the_others_are(
    reconciler, registry, storage, source, ended, make_request, caplog
) -> None:
    garbage, _ = registry.request(make_request(app="garbage"), rerun=True)
    storage.container(landing := "landing-garbage0000000000000")
    container = storage.container(EXPORTS_CONTAINER)
    container.upload_blob(garbage.folder + COMPLETE, b"\xff{" + b"[" * 99_999, overwrite=True)
    registry.amend(
        garbage.id, lambda now: replace(now, state=State.SUCCEEDED, landing=landing, ended_at=stamp())
    )
    assert mine(reconciler.open_rows(datetime.now(UTC) + LATER), garbage) == [garbage.id]
    assert "_complete.json is no JSON: somebody changed it" in caplog.text
    assert not registry.get(ended.id).open


def test_given_many_late_files_with_long_names_then_told_and_counted(
    reconciler, registry, storage, ended
) -> None:
    container = storage.container(ended.landing, create=False)
    for number in range(90):
        container.upload_blob(f"{number:03}{'x' * 490}.json", b"[{}]")
    reconciler.open_rows(datetime.now(UTC) + LATER)
    after = registry.get(ended.id)
    assert (after.open, len(after.late_files)) == (False, 16)
    assert after.late_files[-1] == "… and 75 more"


def test_given_many_jobs_left_with_long_ids_then_a_cancel_still_ends(
    registry, reconciler, make_request
) -> None:
    row, _ = registry.request(make_request(), rerun=True)
    left = shortened(f"{number}{'x' * 500}" for number in range(200))
    registry.change(row.ref, lambda now: replace(now, job_id="job", orphans=left))
    registry.request_cancel(row.id)
    reconciler.finisher.finish(row.ref, Outcome.failed("Cancelled", "it was cancelled", kind="cancelled"))
    assert registry.get(row.id).state is State.CANCELLED
