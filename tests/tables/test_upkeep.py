"""Upkeep over a real account: rows and what counts stay as they were, and no export is in its way."""

import json
import logging
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from delta_log import CURATED, Log, read_log, rows_of
from deltalake import DeltaTable
from table_files import names_of, with_rows

from mobexport import export_types
from mobexport.heavy import HeavySteps
from mobexport.records.columns import schema_of
from mobexport.tables import upkeep
from mobexport.tables.active_files import ActiveFile, active_files
from mobexport.tables.commit import NewFile, TableCommit
from mobexport.tables.tables import Tables
from mobexport.tables.transactions import read_transactions
from mobexport.tables.upkeep import Budget, CompactionLimits, TableUpkeep, partitions_to_compact

EVENT = export_types.get("Event")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DAY, OTHER = date(2025, 3, 23), date(2025, 3, 24)
WEEK = timedelta(days=7)


@pytest.fixture
def tables(storage, app, monkeypatch) -> Tables:
    """Tables whose upkeep sees this test's alone."""
    monkeypatch.setattr(Tables, "folders", lambda self: [f"{app}/Event"])
    return Tables(storage)


@pytest.fixture
def keeper(tables, storage) -> TableUpkeep:
    return TableUpkeep(tables, HeavySteps(storage), WEEK)


@pytest.fixture
def commit(tables, storage, app):
    """An export with so many files of two rows for each day, in place and committed."""

    def made(name: str, at: int, files: dict[date, int]) -> None:
        found = [
            NewFile(f"{app}/Event/date={day}/{name}-{number:02}.parquet", day, 0, 0)
            for day, count in files.items()
            for number in range(count)
        ]
        when = BEGIN + timedelta(seconds=at)
        tables.commit(with_rows(storage, TableCommit(app, EVENT, name, 1, when, tuple(files), found), rows=2))

    return made


def log_of(storage, app) -> Log:
    return read_log(storage.container(CURATED), f"{app}/Event")


def rows(storage, app, day: date) -> list[str]:
    query = "SELECT * FROM files"
    return [str(row) for row in rows_of(storage.container(CURATED), f"{app}/Event", query, str(day))]


def names(storage, app, day: date) -> set[str]:
    """Names of the exports whose rows a day has."""
    return {name.split("-")[0] for name in names_of(storage, f"{app}/Event", str(day))}


# --- compaction ---------------------------------------------------------------------------------------------


def test_given_a_day_of_many_files_then_one_with_the_same_rows(keeper, storage, app, commit) -> None:
    commit("a", 1, {DAY: 12, OTHER: 2})
    before, others = rows(storage, app, DAY), log_of(storage, app).paths(str(OTHER))
    assert keeper.run()["compacted"] == 1
    log = log_of(storage, app)
    assert len(log.paths(str(DAY))) == 1
    assert log.paths(str(OTHER)) == others
    assert rows(storage, app, DAY) == before  # in the same order
    assert log.transactions == {f"date={day}": 1000 + round(BEGIN.timestamp() * 1000) for day in (DAY, OTHER)}
    assert keeper.run()["compacted"] == 0


def test_given_compacted_files_then_types_and_statistics_are_ours(keeper, storage, app, commit) -> None:
    commit("a", 1, {DAY: 9})
    keeper.run()
    ((path, file),) = log_of(storage, app).files.items()
    data = storage.container(CURATED).download_blob(f"{app}/Event/{path}").readall()
    read = pq.ParquetFile(pa.BufferReader(data))
    ours = [(field.name, field.type) for field in schema_of(EVENT)]
    assert [(field.name, field.type) for field in read.schema_arrow] == ours
    column = read.metadata.row_group(0).column(3)
    assert (column.compression, column.statistics.min.minute, column.statistics.max.minute) == ("ZSTD", 0, 8)
    # Times would be cut to milliseconds there, and long texts do not belong into the log.
    most = json.loads(file["stats"])["maxValues"]
    assert (most["deviceId"], sorted(most)) == ("d08", ["deviceId", "infoId", "locationId", "sessionId"])
    assert not file["dataChange"]


@pytest.mark.parametrize("type_", export_types.all_types(), ids=lambda one: one.name)
def test_given_any_type_then_a_compacted_day_reads_the_same(tables, storage, app, type_) -> None:
    folder, label = f"{app}/{type_.name}", "date" if type_.historical else "snapshot"
    found = [NewFile(f"{folder}/{label}={DAY}/e-{number}.parquet", DAY, 0, 0) for number in range(8)]
    campaign = "Poll" if type_.name == "Push" else None
    commit = TableCommit(app, type_, "e", 1, BEGIN, (DAY,), found, campaign_type=campaign)
    tables.commit(with_rows(storage, commit))
    before = read(tables, folder)
    keeper = TableUpkeep(tables, HeavySteps(storage), WEEK)
    (partition,) = partitions_to_compact(active_files(tables.open(folder)), keeper.limits, Budget(8, 10**6))
    assert keeper._compact(tables.open(folder), folder, partition) == 1
    assert len(read_log(storage.container(CURATED), folder).files) == 1
    assert read(tables, folder).equals(before)
    assert (len(before), before.schema) == (8, read(tables, folder).schema)


def read(tables, folder: str) -> pl.DataFrame:
    frame = pl.scan_delta(f"az://{CURATED}/{folder}", storage_options=tables._options()).collect()
    return frame.sort("deviceId")


def test_given_a_commit_after_a_compaction_then_its_files_alone(keeper, storage, app, commit) -> None:
    commit("a", 1, {DAY: 9})
    keeper.run()
    commit("b", 3, {DAY: 2})
    commit("late", 2, {DAY: 2})
    assert log_of(storage, app).paths() == [f"date={DAY}/b-00.parquet", f"date={DAY}/b-01.parquet"]


def test_given_exports_and_upkeep_then_the_newest_exports_manifest(keeper, tables, storage, app) -> None:
    assert tables.last_manifest(app, EVENT) is None
    for number in (1, 2):
        found = [NewFile(f"{app}/Event/date={DAY}/{number}-{n}.parquet", DAY, 0, 0) for n in range(9)]
        when, told = BEGIN + timedelta(number), f"_manifests/{number}.json"
        commit = TableCommit(app, EVENT, f"e{number}", 1, when, (DAY,), found, manifest=told)
        tables.commit(with_rows(storage, commit))
    assert keeper.run()["compacted"] == 1
    assert tables.last_manifest(app, EVENT) == "_manifests/2.json"


def test_given_a_commit_before_the_compactions_then_compaction_gives_way(
    keeper, tables, storage, app, commit, caplog
) -> None:
    commit("a", 1, {DAY: 9, OTHER: 9})
    stale = tables.open(f"{app}/Event")
    commit("b", 2, {DAY: 1})
    caplog.set_level(logging.INFO)
    done = [keeper._compact(stale, f"{app}/Event", {"date": str(day)}) for day in (DAY, OTHER)]
    assert done == [0, 1]
    assert (names(storage, app, DAY), names(storage, app, OTHER)) == ({"b"}, {"a"})
    assert "faster than its compaction" in caplog.text


def test_given_a_compaction_before_the_commits_then_the_commit_wins(
    keeper, storage, app, commit, monkeypatch
) -> None:
    commit("a", 1, {DAY: 9})
    write, done = DeltaTable.create_write_transaction, []

    def later(table, *given, **named):
        if not done:
            done.append(keeper.run()["compacted"])
        return write(table, *given, **named)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", later)
    commit("b", 2, {DAY: 1})
    assert done == [1]
    assert log_of(storage, app).paths() == [f"date={DAY}/b-00.parquet"]


def files_of(sizes: dict[str, list[int]]) -> list[ActiveFile]:
    return [
        ActiveFile(f"{day}/{number}", size, {"date": day})
        for day, each in sizes.items()
        for number, size in enumerate(each)
    ]


LIMITS = CompactionLimits(target_bytes=100, small_bytes=25, many=3)


@pytest.mark.parametrize(
    ("sizes", "budget", "days"),
    [
        ({"a": [10] * 3, "b": [10] * 2, "c": [10] * 5}, Budget(99, 999), ["c", "a"]),
        ({"a": [25] * 9}, Budget(99, 999), []),  # not small
        ({"a": [10] * 3 + [30, 100]}, Budget(4, 60), ["a"]),  # the fifth is as large as they become
        ({"a": [10] * 5, "b": [10] * 3}, Budget(4, 999), ["b"]),
        ({"a": [10] * 5, "b": [10] * 3}, Budget(99, 45), ["b"]),
        ({"a": [10] * 5, "b": [10] * 3}, Budget(5, 999), ["a"]),
    ],
)
def test_days_to_compact_are_those_with_most_files_within_the_budget(sizes, budget, days) -> None:
    found = partitions_to_compact(files_of(sizes), LIMITS, budget)
    assert [one["date"] for one in found] == days


# --- the log ------------------------------------------------------------------------------------------------


def test_given_some_commits_then_a_checkpoint_and_old_logs_go(
    keeper, storage, app, commit, monkeypatch
) -> None:
    for number in range(5):
        commit(f"e{number}", number, {DAY if number % 2 else OTHER: 1})
    before = log_of(storage, app)
    monkeypatch.setattr(upkeep, "_LEAST_LOG", timedelta(0))
    keeper = TableUpkeep(keeper.tables, keeper.steps, timedelta(0))
    assert keeper.run()["checkpoints"] == 1
    logs = [blob.name for blob in storage.list_blobs(CURATED, f"{app}/Event/_delta_log/")]
    assert f"{app}/Event/_delta_log/{0:020}.json" not in logs
    after = log_of(storage, app)
    assert (after.transactions, after.paths()) == (before.transactions, before.paths())
    read = read_transactions(storage.container(CURATED), f"{app}/Event", after.version).known
    assert read == after.transactions
    commit("last", 9, {DAY: 1})
    assert names(storage, app, DAY) == {"last"}
    assert keeper.run()["checkpoints"] == 0


def test_given_the_history_then_tombstones_and_logs_last_as_long(tables, storage, app, commit) -> None:
    commit("a", 1, {DAY: 1})
    for history, logs in ((timedelta(days=90), 90), (timedelta(days=2), 30)):
        TableUpkeep(tables, HeavySteps(storage), history).run()
        found = log_of(storage, app).metadata["configuration"]
        assert found["delta.deletedFileRetentionDuration"] == f"interval {history.days} days"
        assert found["delta.logRetentionDuration"] == f"interval {logs} days"
    version = log_of(storage, app).version
    TableUpkeep(tables, HeavySteps(storage), timedelta(days=2)).run()
    assert log_of(storage, app).version == version


def test_given_a_broken_table_then_it_is_told_and_others_are_kept_up(
    keeper, storage, app, commit, monkeypatch, caplog
) -> None:
    commit("a", 1, {DAY: 9})
    monkeypatch.setattr(Tables, "folders", lambda self: ["broken/Event", f"{app}/Event"])
    log = storage.container(CURATED).get_blob_client(f"broken/Event/_delta_log/{0:020}.json")
    log.upload_blob(b"{", overwrite=True)
    done = keeper.run()
    assert (done["compacted"], done["failed"]) == (1, 1)
    assert "table broken/Event was not kept up" in caplog.text
