"""Tables that stay open between commits: less to read, and never another table than the one that is there."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from delta_log import CURATED, read_log

from mobexport import export_types
from mobexport.errors import Transient
from mobexport.tables import open_tables
from mobexport.tables.commit import NewFile, TableCommit
from mobexport.tables.tables import Tables

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DAY = date(2025, 3, 23)


def commit_of(app: str, number: int, day: int = 0) -> TableCommit:
    at = DAY + timedelta(days=day)
    file = NewFile(f"{app}/Event/date={at}/e{number}.parquet", at, 1, 10)
    return TableCommit(
        app, export_types.get("Event"), f"e{number}", 1, BEGIN + timedelta(seconds=number), (at,), [file]
    )


@pytest.fixture
def tables(storage, monkeypatch) -> Tables:
    """Counts how often a table is opened, in `opened`."""
    found = Tables(storage)
    found.opened = 0
    whole = found._open_or_create

    def counted(commit: TableCommit):
        found.opened += 1
        return whole(commit)

    monkeypatch.setattr(found, "_open_or_create", counted)
    return found


def paths(storage, app: str) -> list[str]:
    return read_log(storage.container(CURATED), f"{app}/Event").paths()


def test_given_commits_of_others_in_between_then_read_without_opening(tables, storage, app) -> None:
    other = Tables(storage)
    for number in range(25):
        (tables, other)[number % 2].commit(commit_of(app, number, number % 3))
    assert tables.opened == 1
    assert [path.split("/")[-1] for path in paths(storage, app)] == [
        "e24.parquet",
        "e22.parquet",
        "e23.parquet",
    ]
    assert tables.commit(commit_of(app, 24)).days == ()
    assert tables.commit(commit_of(app, 5, 1)).days == ()


def _gone(tables: Tables, app: str) -> None:
    container = tables.storage.container(CURATED)
    for blob in list(container.list_blob_names(name_starts_with=f"{app}/Event/")):
        container.delete_blob(blob)


def _made_again(tables: Tables, app: str) -> None:
    _gone(tables, app)
    Tables(tables.storage).commit(commit_of(app, 7, 1))
    Tables(tables.storage).commit(commit_of(app, 8, 2))


@pytest.mark.parametrize(("happens", "kept"), [(_gone, []), (_made_again, ["e7", "e8"])])
def test_given_a_table_that_is_deleted_then_the_new_one_is_whole(
    tables, storage, app, happens: Callable[[Tables, str], None], kept: list[str]
) -> None:
    for number in range(2):
        tables.commit(commit_of(app, number))
    happens(tables, app)
    tables.commit(commit_of(app, 9))
    assert sorted(path.split("/")[-1].removesuffix(".parquet") for path in paths(storage, app)) == [
        *kept,
        "e9",
    ]


def test_given_an_open_table_that_is_old_then_opened_with_a_new_token(tables, app) -> None:
    tables.commit(commit_of(app, 1))
    tables._open._kept[f"{app}/Event"].until = 0
    tables.commit(commit_of(app, 2))
    tables.commit(commit_of(app, 3))
    assert tables.opened == 2


def test_given_a_commit_that_fails_then_the_table_is_opened_again(tables, app, monkeypatch) -> None:
    tables.commit(commit_of(app, 1))
    with monkeypatch.context() as patched:
        patched.setattr(tables, "_write", _failing)
        with pytest.raises(Transient):
            tables.commit(commit_of(app, 2))
    assert tables.commit(commit_of(app, 2)).days == (DAY,)
    assert tables.opened == 2


def _failing(*given: object) -> None:
    raise OSError("cut")


def test_given_many_tables_then_few_stay_open(tables, app) -> None:
    for number in range(open_tables._MOST + 3):
        tables.commit(replace(commit_of(f"{app}-{number}", 1), app=f"{app}-{number}"))
    assert len(tables._open._kept) == open_tables._MOST
