"""Curated tables over a real account, judged by their log: the newest request's files for each day, once."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest
from curated import delta_options
from delta_log import CURATED, Log, read_log, rows_of
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table_files import names_of, with_rows

from mobexport import export_types
from mobexport.errors import ConfigError, DataError, Transient
from mobexport.export_types import Field, FieldKind
from mobexport.heavy import HeavySteps
from mobexport.pipeline.process.conversion import convert_file
from mobexport.records.limits import Limits
from mobexport.storage import DataStorage
from mobexport.tables.commit import NewFile, TableCommit
from mobexport.tables.schema import partition_columns, table_schema
from mobexport.tables.tables import Tables
from mobexport.tables.transactions import read_transactions
from mobexport.tables.upkeep import CompactionLimits, TableUpkeep

EVENT = export_types.get("Event")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = [date(2025, 3, 23) + timedelta(days=number) for number in range(4)]


@pytest.fixture
def tables(storage) -> Tables:
    return Tables(storage)


def commit_of(app: str, name: str, at: float, days=(DAYS[0],), files: int = 1) -> TableCommit:
    """An export's commit with so many files a day; nobody reads them."""
    found = [
        NewFile(f"{app}/Event/date={day}/{name}-{number}.parquet", day, 1, 10)
        for day in days
        for number in range(files)
    ]
    return TableCommit(app, EVENT, name, 1, BEGIN + timedelta(seconds=at), tuple(days), found)


def log_of(storage: DataStorage, app: str, name: str = "Event") -> Log:
    return read_log(storage.container(CURATED), f"{app}/{name}")


def by_day(log: Log) -> dict[str, list[str]]:
    """Names of the exports whose files count, by day."""
    return {str(day): [path.split("/")[1] for path in log.paths(str(day))] for day in DAYS}


# --- order and once -----------------------------------------------------------------------------------------


def test_given_an_export_of_several_days_then_all_change_at_once(tables, storage, app) -> None:
    tables.commit(commit_of(app, "old", 1, DAYS[:2]))
    done = tables.commit(commit_of(app, "new", 2, DAYS[:3]))
    log = log_of(storage, app)
    assert (log.version, done.days) == (2, tuple(DAYS[:3]))
    assert by_day(log) == {str(day): ["new-0.parquet"] * (day in DAYS[:3]) for day in DAYS}
    assert [commit.get("exportId") for commit in log.commits] == [None, "old", "new"]


def test_given_a_repeat_when_committed_then_nothing_changes(tables, storage, app) -> None:
    commit = commit_of(app, "one", 1)
    tables.commit(commit)
    assert tables.commit(commit).days == ()
    assert log_of(storage, app).version == 1


def test_given_an_older_request_that_is_late_then_only_days_of_its_own(tables, storage, app) -> None:
    tables.commit(commit_of(app, "new", 2, DAYS[:1]))
    assert tables.commit(commit_of(app, "old", 1, DAYS[:2])).days == (DAYS[1],)
    found = by_day(log_of(storage, app))
    assert (found[str(DAYS[0])], found[str(DAYS[1])]) == (["new-0.parquet"], ["old-0.parquet"])


def test_given_a_day_without_rows_then_it_is_empty_and_remembered(tables, storage, app) -> None:
    tables.commit(commit_of(app, "full", 1))
    tables.commit(commit_of(app, "empty", 3, files=0))
    tables.commit(commit_of(app, "between", 2))
    assert log_of(storage, app).paths() == []


def test_given_many_workers_at_once_when_committed_then_the_newest_counts(tables, storage, app) -> None:
    commits = [commit_of(app, f"e{n}", n, DAYS[: 1 + n % 3]) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tables.commit, commits * 2))
    assert by_day(log_of(storage, app)) == newest(commits)


def newest(commits: list[TableCommit]) -> dict[str, list[str]]:
    """The model: of each day the files of the newest request for it."""
    found: dict[str, list[str]] = {str(day): [] for day in DAYS}
    for commit in sorted(commits, key=lambda one: one.requested_at):
        for day in commit.days:
            found[str(day)] = [file.path.split("/")[-1] for file in commit.files if file.day == day]
    return found


NUMBERS = itertools.count()


class Killed(Exception):
    """The worker died here."""


class Life:
    """A table through commits that die and are repeated, and upkeep in between."""

    def __init__(self, storage, tables, commits: list[TableCommit]) -> None:
        self.storage, self.tables = storage, tables
        self.left = list(commits)
        self.folder = commits[0].folder

    def commit(self, commit: TableCommit, monkeypatch, dies: str | None = None) -> None:
        write = DeltaTable.create_write_transaction

        def dying(table, *given, **named):
            if dies == "before":
                raise Killed
            write(table, *given, **named)
            if dies == "after":
                raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(DeltaTable, "create_write_transaction", dying)
            with suppress(Killed):
                self.tables.commit(commit)
                if commit in self.left:
                    self.left.remove(commit)

    def keep_up(self, monkeypatch) -> None:
        """As if all were older than the history; attempts that have not ended keep their files."""
        monkeypatch.setattr(Tables, "folders", lambda _: [self.folder])
        limits = CompactionLimits(many=2)
        keeper = TableUpkeep(self.tables, HeavySteps(self.storage), timedelta(0), limits)
        assert not keeper.run({self.folder} if self.left else ())["failed"]


@pytest.mark.long
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_given_any_order_of_commits_that_die_and_upkeep_then_as_the_model(
    tables, storage, app, monkeypatch, data
) -> None:
    name = f"{app}-{next(NUMBERS)}"  # a table of each example's own
    several = st.lists(st.sampled_from(DAYS), min_size=1, max_size=3, unique=True)
    commits = [
        with_rows(
            storage, commit_of(name, f"e{n}", n, sorted(data.draw(several)), data.draw(st.integers(0, 3)))
        )
        for n in range(data.draw(st.integers(1, 4)))
    ]
    life = Life(storage, tables, commits)
    steps = [one for one in commits for _ in range(2)] + [None] * data.draw(st.integers(0, 3))
    for commit in data.draw(st.permutations(steps), "steps"):
        if commit is None:
            life.keep_up(monkeypatch)
        else:
            life.commit(commit, monkeypatch, data.draw(st.sampled_from(["before", "after", None])))
    for commit in commits:
        life.commit(commit, monkeypatch)
    life.keep_up(monkeypatch)
    assert {str(day): names_of(storage, life.folder, str(day)) for day in DAYS} == newest(commits)
    log = log_of(storage, name)
    there = {blob.name for blob in storage.list_blobs(CURATED, f"{life.folder}/date=")}
    assert there == {f"{life.folder}/{path}" for path in log.paths()}
    known = read_transactions(storage.container(CURATED), life.folder, log.version).known
    assert known == log.transactions


def test_given_a_checkpoint_then_the_log_says_the_same(tables, storage, app) -> None:
    for number in range(13):
        tables.commit(commit_of(app, f"e{number}", number, [DAYS[number % 3]]))
    names = [blob.name for blob in storage.list_blobs(CURATED, f"{app}/Event/_delta_log/")]
    assert [name for name in names if name.endswith("checkpoint.parquet")]
    log = log_of(storage, app)
    assert (log.version, len(log.transactions)) == (13, 3)
    assert tables.files(app, EVENT) == [f"{app}/Event/{path}" for path in log.paths()]


# --- what is in it ------------------------------------------------------------------------------------------

FILE = json.dumps(
    [
        {
            "deviceId": f"d{n}",
            "events": [{"name": f"n{n}", "timestamp": f"2025-03-23T10:00:0{n}.000{n}Z", "infoId": None}],
        }
        for n in range(3)
    ]
).encode()


def convert_and_commit(tables, storage, app, tmp_path, type_=EVENT, file=FILE, at=1.0) -> None:
    """A file as a step of the pipeline would take it to the table."""
    done = convert_file(
        type_,
        [file],
        app=app,
        window=(DAYS[0], DAYS[0]) if type_.historical else None,
        snapshot_day=None if type_.historical else DAYS[0],
        strict=False,
        stem=f"{at}",
        out_dir=tmp_path / "out",
        workdir=tmp_path / "work",
        limits=Limits(2**26, 2**28),
    )
    folder, label = f"{app}/{type_.name}", "date" if type_.historical else "snapshot"
    files = []
    for output in done.outputs:
        path = f"{folder}/{label}={output.date}/{output.path.name}"
        storage.upload_file(CURATED, path, output.path, "application/vnd.apache.parquet")
        files.append(NewFile(path, output.date, output.rows, output.bytes, output.stats))
    campaign = "Poll" if type_.name == "Push" else None
    tables.commit(
        TableCommit(
            app, type_, f"{at}", 1, BEGIN + timedelta(seconds=at), (DAYS[0],), files, campaign_type=campaign
        )
    )


def test_given_a_committed_file_then_polars_and_the_log_have_its_rows(
    tables, storage, app, tmp_path, azurite
) -> None:
    convert_and_commit(tables, storage, app, tmp_path)
    query = "SELECT name, epoch_us(timestamp) FROM files ORDER BY name"
    rows = rows_of(storage.container(CURATED), f"{app}/Event", query)
    assert [name for name, _ in rows] == ["n0", "n1", "n2"]
    frame = pl.scan_delta(f"az://{CURATED}/{app}/Event", storage_options=delta_options(azurite))
    assert frame.sort("name").select("name", "date").collect().rows() == [
        (f"n{n}", DAYS[0]) for n in range(3)
    ]


def test_given_a_committed_file_then_statistics_bound_ids_and_times(tables, storage, app, tmp_path) -> None:
    convert_and_commit(tables, storage, app, tmp_path)
    (file,) = log_of(storage, app).files.values()
    stats = json.loads(file["stats"])
    assert stats["numRecords"] == 3
    assert stats["minValues"] == {"deviceId": "d0", "timestamp": "2025-03-23T10:00:00.000Z"}
    # In milliseconds: the greatest time rounded up, so that nobody skips its record.
    assert stats["maxValues"] == {"deviceId": "d2", "timestamp": "2025-03-23T10:00:02.001Z"}
    assert (stats["nullCount"]["infoId"], stats["nullCount"]["deviceId"]) == (3, 0)


@pytest.mark.parametrize("type_", export_types.all_types(), ids=lambda one: one.name)
def test_given_a_types_table_then_columns_comments_and_partitions(tables, storage, type_) -> None:
    app = "schemas"
    commit = TableCommit(app, type_, "x", 1, BEGIN, (DAYS[0],), (), campaign_type="Poll")
    tables.commit(replace(commit, campaign_type="Poll" if type_.name == "Push" else None))
    metadata = log_of(storage, app, type_.name).metadata
    columns = {one["name"]: one for one in json.loads(metadata["schemaString"])["fields"]}
    day = "date" if type_.historical else "snapshot"
    assert metadata["partitionColumns"] == [day, *(["campaignType"] if type_.name == "Push" else [])]
    assert (columns["app"]["nullable"], columns[day]["type"]) == (False, "date")
    outer = {column.name.partition(".")[0] for column in type_.columns}
    assert set(columns) == {"app", day, *outer}
    assert columns["app"]["metadata"]["comment"]


def test_given_pushes_of_two_campaign_types_then_each_replaces_its_own(tables, storage, app) -> None:
    push = export_types.get("Push")

    def commit(name: str, at: float, campaign: str) -> None:
        path = f"{app}/Push/snapshot={DAYS[0]}/{name}.parquet"
        file = NewFile(path, DAYS[0], 1, 10)
        when = BEGIN + timedelta(seconds=at)
        tables.commit(TableCommit(app, push, name, 1, when, (DAYS[0],), [file], campaign_type=campaign))

    commit("a", 1, "Poll")
    commit("b", 2, "Announcement")
    commit("c", 3, "Poll")
    paths = log_of(storage, app, "Push").paths()
    assert [path.split("/")[1] for path in paths] == ["b.parquet", "c.parquet"]


# --- evolution ----------------------------------------------------------------------------------------------


def test_given_a_type_that_gains_a_column_then_old_rows_read_as_null(
    tables, storage, app, tmp_path, azurite
) -> None:
    convert_and_commit(tables, storage, app, tmp_path / "1")
    fields = (*EVENT.fields, Field("colour", FieldKind.TEXT, help="of the shirt"))
    newer = replace(EVENT, fields=fields)
    file = FILE.replace(b'"infoId": null', b'"colour": "red"')
    convert_and_commit(tables, storage, app, tmp_path / "2", newer, file, at=2)
    tables.commit(commit_of(app, "other", 3, [DAYS[1]], files=0))
    frame = pl.scan_delta(f"az://{CURATED}/{app}/Event", storage_options=delta_options(azurite)).collect()
    assert frame["colour"].to_list() == ["red"] * 3
    metadata = json.loads(log_of(storage, app).metadata["schemaString"])
    assert [one["name"] for one in metadata["fields"]].count("colour") == 1


def test_given_a_column_of_another_type_then_refused_with_a_remedy(tables, app) -> None:
    tables.commit(commit_of(app, "one", 1))
    changed = [
        replace(field, kind=FieldKind.INTEGER) if field.name == "infoId" else field for field in EVENT.fields
    ]
    commit = replace(commit_of(app, "two", 2), export_type=replace(EVENT, fields=tuple(changed)))
    with pytest.raises(DataError, match=r"column 'infoId' is .*string.* there, .*another name"):
        tables.commit(commit)


# --- identity -----------------------------------------------------------------------------------------------


def test_given_no_account_key_then_each_call_has_a_token_of_the_moment() -> None:
    made = iter(["first", "second"])
    blobs = SimpleNamespace(
        account_name="team", url="https://team.blob.core.windows.net/", credential=object()
    )
    tables = Tables(SimpleNamespace(blobs=blobs, token=lambda: next(made)))  # type: ignore[arg-type]
    found = [tables._options() for _ in range(2)]
    assert [one["azure_storage_token"] for one in found] == ["first", "second"]
    assert all("azure_allow_http" not in one for one in found)
    assert found[0]["azure_storage_endpoint"] == "https://team.blob.core.windows.net"


@pytest.mark.parametrize(
    ("says", "error"),
    [("403 Forbidden: AuthorizationFailure", ConfigError), ("connection refused", Transient)],
)
def test_given_storage_that_fails_when_committed_then_our_error_and_no_url(
    tables, app, monkeypatch, says, error
) -> None:
    def fails(*_, **__):
        raise OSError(f"GET https://team.blob.core.windows.net/?sig=SECRET: {says}")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", fails)
    with pytest.raises(error, match="DATA_STORAGE") as raised:
        tables.commit(commit_of(app, "one", 1))
    assert "SECRET" not in raised.value.message


def test_tables_have_the_columns_that_files_have() -> None:
    import pyarrow as pa

    from mobexport.records.columns import schema_of

    for type_ in export_types.all_types():
        columns = [
            (one.name, one.type)
            for one in pa.schema(table_schema(type_).to_arrow())
            if one.name != partition_columns(type_)[0]
        ]
        assert columns == [(one.name, one.type) for one in schema_of(type_)]
