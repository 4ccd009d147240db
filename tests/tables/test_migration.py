"""Migration from pointers to tables: what counted counts, whatever dies in between."""

import io
import json
from contextlib import suppress
from datetime import date, timedelta

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from curated import BEGIN, DAYS, commit_of, delta_options, events, storage_of, upload
from delta_log import read_log, rows_of
from deltalake import DeltaTable

from mobexport import export_types
from mobexport.clock import stamp
from mobexport.heavy import HeavySteps
from mobexport.storage import PARQUET, DataStorage
from mobexport.tables import migration, pointers
from mobexport.tables import tables as tables_module
from mobexport.tables.migration import migrate
from mobexport.tables.pointers import pointer_blobs
from mobexport.tables.tables import Tables
from mobexport.tables.upkeep import TableUpkeep


@pytest.fixture
def storage(azurite) -> DataStorage:
    found = storage_of(azurite)
    # The migration looks at the whole account: what other tests left is not its business here.
    for name in list(pointer_blobs(found)):
        found.delete_blob("curated", name)
    return found


def point(storage, app, day: date, export: str, at: float, files, rows: int, *, type_="Event") -> str:
    """A pointer as commits wrote them before there were tables."""
    label, campaign = ("date", "") if type_ != "Push" else ("snapshot", "-Poll")
    label = "snapshot" if type_ == "Device" else label
    name = f"{app}/{type_}/{label}={day}/_current{campaign}.json"
    pointer = {
        "version": 1,
        "exportId": export,
        "attempt": 1,
        "requestedAt": stamp(BEGIN + timedelta(seconds=at)),
        "manifest": f"_manifests/{app}/{type_}/{export}-1.json",
        "files": [file.path for file in files],
        "rows": rows,
    }
    storage.write_json("curated", name, pointer)
    return name


def old_event_data(storage, app, folder) -> None:
    """Four days by three exports: one of two days, one day exported again, one empty day."""
    two = [upload(storage, app, folder / f"w{n}", events(DAYS[n], f"w{n}"), stem=f"w-1-{n}") for n in (0, 1)]
    again = upload(storage, app, folder / "again", events(DAYS[1], "x", "y"), stem="again-1-0")
    late = upload(storage, app, folder / "late", events(DAYS[3], "z"), stem="late-1-0")
    point(storage, app, DAYS[0], "w", 1, two[0], 1)
    point(storage, app, DAYS[1], "again", 2, again, 2)  # w's file of that day is superseded
    point(storage, app, DAYS[2], "w", 1, [], 0)
    point(storage, app, DAYS[3], "late", 3, late, 1)


NAMES = "SELECT name FROM files ORDER BY name"
EXPECTED = ["w0", "x", "y", "z"]


def names_in(storage, app) -> list[str]:
    return [row[0] for row in rows_of(storage.container("curated"), f"{app}/Event", NAMES)]


def left(storage, app) -> list[str]:
    return list(pointer_blobs(storage, f"{app}/Event"))


def test_given_pointers_when_migrated_then_the_table_has_what_counted(storage, app, tmp_path) -> None:
    old_event_data(storage, app, tmp_path)
    before = {blob.name: blob.etag for blob in storage.list_blobs("curated", f"{app}/")}
    (done,) = migrate(storage, Tables(storage))
    assert (done.folder, done.pointers, done.exports, done.files, done.rows) == (f"{app}/Event", 4, 3, 3, 4)
    assert (names_in(storage, app), left(storage, app)) == (EXPECTED, [])
    log = read_log(storage.container("curated"), f"{app}/Event")
    assert [commit.get("exportId") for commit in log.commits] == [None, "w", "again", "late"]
    stats = {json.loads(file["stats"])["minValues"]["timestamp"][:10] for file in log.files.values()}
    assert stats == {str(DAYS[0]), str(DAYS[1]), str(DAYS[3])}
    after = {blob.name: blob.etag for blob in storage.list_blobs("curated", f"{app}/")}
    parquet = {name: etag for name, etag in before.items() if name.endswith(".parquet")}
    assert parquet.items() <= after.items()  # not one file is written anew, or gone
    assert migrate(storage, Tables(storage)) == []


def test_given_a_dry_run_then_it_says_all_and_changes_nothing(storage, app, tmp_path) -> None:
    old_event_data(storage, app, tmp_path)
    before = {blob.name: blob.etag for blob in storage.list_blobs("curated", f"{app}/")}
    said: list[str] = []
    (would,) = migrate(storage, Tables(storage), is_trial=True, say=said.append)
    assert {blob.name: blob.etag for blob in storage.list_blobs("curated", f"{app}/")} == before
    assert said[0] == f"{app}/Event: would commit w, attempt 1: 2 days, 1 files, 1 rows"
    assert len(said) == 3
    assert migrate(storage, Tables(storage)) == [would]


class Killed(BaseException):
    """The process died here."""


CALLS = {
    DataStorage: ("list_stored", "read_json", "delete_blob"),
    DeltaTable: ("create_write_transaction",),
    tables_module: ("create_table_with_add_actions", "DeltaTable"),
    migration: ("_new_file",),
}


@pytest.mark.long
def test_given_a_kill_between_any_two_calls_then_nothing_is_lost(storage, app, tmp_path, monkeypatch) -> None:
    for number in range(1, 200):
        own = f"{app}-{number}"
        old_event_data(storage, own, tmp_path / str(number))
        calls = 0

        def counted(call, last=number):
            def run(*given, **named):
                nonlocal calls
                found = call(*given, **named)
                calls += 1
                if calls == last:
                    raise Killed
                return found

            return run

        with monkeypatch.context() as patched:
            for owner, names in CALLS.items():
                for name in names:
                    patched.setattr(owner, name, counted(getattr(owner, name)))
            is_dead = True
            with suppress(Killed):
                migrate(storage, Tables(storage))
                is_dead = False
        shown, pointing = names_in(storage, own), left(storage, own)
        # At every moment: what a pointer does not name any more, the table has.
        assert len(pointing) == 4 or shown == EXPECTED
        migrate(storage, Tables(storage))
        assert (names_in(storage, own), left(storage, own)) == (EXPECTED, [])
        if not is_dead:
            assert number > 15, "there are more calls than that"
            return
    pytest.fail("it never ended by itself")


def test_given_files_compacted_before_pointers_are_gone_then_they_go(
    storage, app, tmp_path, monkeypatch
) -> None:
    old_event_data(storage, app, tmp_path)
    again = upload(storage, app, tmp_path / "more", events(DAYS[1], "v"), stem="again-1-1")
    name = f"{app}/Event/date={DAYS[1]}/_current.json"
    pointer, etag = storage.read_json_etag("curated", name)
    pointer |= {"files": [*pointer["files"], again[0].path], "rows": 3}
    storage.write_json("curated", name, pointer, etag=etag)

    def dies(*_) -> None:
        raise Killed

    with monkeypatch.context() as patched, suppress(Killed):
        patched.setattr(DataStorage, "delete_blob", dies)
        migrate(storage, Tables(storage))
    assert len(left(storage, app)) == 4
    assert Tables(storage).open(f"{app}/Event").optimize.compact()["numFilesRemoved"] == 2
    migrate(storage, Tables(storage))
    assert (names_in(storage, app), left(storage, app)) == (["v", *EXPECTED], [])


def test_given_a_table_that_does_not_show_the_rows_then_pointers_stay(
    storage, app, tmp_path, monkeypatch
) -> None:
    old_event_data(storage, app, tmp_path)
    monkeypatch.setattr(tables_module, "_rows", lambda *_: 0)
    (done,) = migrate(storage, Tables(storage))
    assert ("does not show the files" in done.problem, len(left(storage, app))) == (True, 4)


def test_given_a_newer_export_of_this_version_then_its_day_stays(storage, app, tmp_path) -> None:
    old_event_data(storage, app, tmp_path)
    newer = upload(storage, app, tmp_path / "new", events(DAYS[0], "new"), stem="new-1-0")
    Tables(storage).commit(commit_of(app, "new", 9, newer))
    migrate(storage, Tables(storage))
    assert (names_in(storage, app), left(storage, app)) == (["new", "x", "y", "z"], [])


def test_given_pointers_when_vacuumed_then_their_files_stay(storage, app, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Tables, "folders", lambda self: [f"{app}/Event"])
    old_event_data(storage, app, tmp_path)
    newer = upload(storage, app, tmp_path / "new", events(DAYS[0], "new"), stem="new-1-0")
    tables = Tables(storage)
    tables.commit(commit_of(app, "new", 9, newer))
    keeper = TableUpkeep(tables, HeavySteps(storage), timedelta(0))
    assert keeper.run()["superseded"] == 0
    migrate(storage, tables)
    assert keeper.run()["superseded"] == 2
    assert names_in(storage, app) == ["new", "x", "y", "z"]


def parquet_of(storage, path, table: pa.Table) -> None:
    out = io.BytesIO()
    pq.write_table(table, out)
    storage.container("curated").upload_blob(path, out.getvalue(), content_type=PARQUET)


DOTTED = {
    "app": ["a", "a"],
    "deviceId": ["d1", "d2"],
    "info.phoneModel": ["P1", None],
    "info.androidAPILevel": pa.array([30, None], pa.int64()),
    "appInfo": ['{"plan":"gold"}', None],
}


def point_at_devices(storage, app, table: pa.Table) -> None:
    path = f"{app}/Device/snapshot={DAYS[0]}/d-1-0-0.parquet"
    parquet_of(storage, path, table)
    name = point(storage, app, DAYS[0], "d", 1, [], len(table), type_="Device")
    pointer, etag = storage.read_json_etag("curated", name)
    storage.write_json("curated", name, {**pointer, "files": [path]}, etag=etag)


def test_given_dotted_columns_then_written_anew_as_structs(storage, app) -> None:
    point_at_devices(storage, app, pa.table(DOTTED))
    (done,) = migrate(storage, Tables(storage))
    assert (done.rewritten, done.files, done.rows) == (1, 1, 2)
    query = "SELECT deviceId, info.phoneModel, info.androidAPILevel, info IS NULL, appInfo FROM files"
    rows = rows_of(storage.container("curated"), f"{app}/Device", query)
    assert rows == [("d1", "P1", 30, False, '{"plan":"gold"}'), ("d2", None, None, True, None)]
    names = [blob.name for blob in storage.list_blobs("curated", f"{app}/Device/snapshot={DAYS[0]}/")]
    assert len(names) == 2  # the old file stays until it is vacuumed


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({**DOTTED, "colour": ["red", "blue"]}, "column 'colour' is none of Device"),
        ({**DOTTED, "deviceId": [1, 2]}, "column 'deviceId' is int64, and this version writes string"),
        ({**DOTTED, "deviceId": ["d1", None]}, "column 'deviceId' is missing or has nulls"),
    ],
)
def test_given_a_file_that_does_not_fit_then_its_table_stays(storage, app, tmp_path, table, says) -> None:
    point_at_devices(storage, app, pa.table(table))
    other = f"{app}-other"
    old_event_data(storage, other, tmp_path)
    done = {one.folder: one for one in migrate(storage, Tables(storage))}
    assert says in done[f"{app}/Device"].problem
    assert list(pointer_blobs(storage, f"{app}/Device"))
    assert Tables(storage).open(f"{app}/Device") is None
    assert (done[f"{other}/Event"].problem, names_in(storage, other)) == ("", EXPECTED)


def test_given_a_file_that_is_gone_or_cut_then_its_pointer_and_the_remedy(storage, app, tmp_path) -> None:
    files = upload(storage, app, tmp_path, events(DAYS[0], "a"))
    name = point(storage, app, DAYS[0], "e", 1, files, 2)
    assert "says 2 rows, and its files have 1" in migrate(storage, Tables(storage))[0].problem
    storage.container("curated").upload_blob(files[0].path, b"PAR1", overwrite=True)
    assert "is no Parquet file" in migrate(storage, Tables(storage))[0].problem
    storage.delete_blob("curated", files[0].path)
    assert "is gone" in migrate(storage, Tables(storage))[0].problem
    storage.container("curated").upload_blob(name, b'{"version":2}', overwrite=True)
    assert "no pointer of version 1" in migrate(storage, Tables(storage))[0].problem
    assert left(storage, app) == [name]


def test_given_pushes_then_each_type_of_campaign_is_its_own(storage, app, tmp_path, azurite) -> None:
    push = export_types.get("Push")
    data = b'[{"deviceId":"d","campaignType":"Poll","campaignId":1,"status":["Queued"]}]'
    files = upload(storage, app, tmp_path, data, type_=push)
    point(storage, app, DAYS[0], "p", 1, files, 1, type_="Push")
    migrate(storage, Tables(storage))
    frame = pl.scan_delta(f"az://curated/{app}/Push", storage_options=delta_options(azurite)).collect()
    assert frame.select("deviceId", "campaignType").rows() == [("d", "Poll")]
    (file,) = read_log(storage.container("curated"), f"{app}/Push").files.values()
    assert file["partitionValues"] == {"snapshot": str(DAYS[0]), "campaignType": "Poll"}


def test_names_that_are_no_pointers_are_left_alone() -> None:
    others = ("_manifests/a/Event/e-1.json", "a/Event/_delta_log/_current.json", "a/Event/x/_current.json")
    assert [name for name in others if pointers._NAME.fullmatch(name)] == []
