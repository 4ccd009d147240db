"""The commands over tables as their user runs them, against the emulator."""

import json
import re
from datetime import date

import pytest
from curated import DAYS, commit_of, events, storage_of, upload

from mobexport import export_types
from mobexport.cli import main
from mobexport.storage import DataStorage
from mobexport.tables.commit import day_ranges
from mobexport.tables.pointers import pointer_blobs
from mobexport.tables.tables import Tables

APP = "commands"


@pytest.fixture(scope="module")
def storage(azurite, tmp_path_factory) -> DataStorage:
    """Three versions of one table of events, and one table of devices."""
    found = storage_of(azurite)
    for name in list(pointer_blobs(found)):  # of other tests
        found.delete_blob("curated", name)
    folder = tmp_path_factory.mktemp("curated")
    tables = Tables(found)
    files = [
        file
        for n, names in enumerate((("a", "b"), ("c",)))
        for file in upload(found, APP, folder / str(n), events(DAYS[n], *names), stem=f"e1-1-{n}")
    ]
    tables.commit(commit_of(APP, "e1", 1, files))
    tables.commit(commit_of(APP, "e2", 2, upload(found, APP, folder / "2", events(DAYS[1], "d"), stem="e2")))
    device = export_types.get("Device")
    data = b'[{"deviceId":"d","info":{"phoneModel":"P1"}}]'
    devices = upload(found, APP, folder / "3", data, type_=device)
    tables.commit(commit_of(APP, "e3", 3, devices, type_=device))
    return found


@pytest.fixture
def run(azurite, storage, monkeypatch, capsys, tmp_path):
    """Runs a command in an empty folder; its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_STORAGE", azurite.connection_string)

    def command(*words: str) -> tuple[int, str, str]:
        code = main(["tables", *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


def test_given_tables_when_listed_then_numbers_days_and_version(run) -> None:
    code, out, _ = run("list")
    assert code == 0
    assert re.search(r"^table +rows +files +bytes +days +version$", out, re.MULTILINE)
    assert re.search(r"^commands/Event +3 +2 +[\d,]+ +2025-03-23\.\.2025-03-24 +2$", out, re.MULTILINE)
    assert re.search(r"^commands/Device +1 +1 +[\d,]+ +2025-03-23 +1$", out, re.MULTILINE)
    found = {one["table"]: one for one in json.loads(run("list", "--json")[1])}
    event = found["commands/Event"]
    assert (event["rows"], event["first_day"], event["version"]) == (3, "2025-03-23", 2)


def test_given_a_table_when_shown_then_columns_with_comments(run) -> None:
    code, out, _ = run("show", "commands/Device")
    assert code == 0
    assert "1 rows, 1 files" in out
    assert re.search(r"^deviceId +string +never +the device$", out, re.MULTILINE)
    assert re.search(r"^info\.timeZoneOffset +long +yes +minutes from UTC$", out, re.MULTILINE)
    shown = json.loads(run("show", "commands/Event", "--json")[1])
    assert (shown["partitions"], shown["columns"][0]["name"]) == (["date"], "app")


def test_given_a_table_then_its_first_rows_as_text_or_lines(run) -> None:
    code, out, _ = run("head", "commands/Event", "-n", "2")
    assert (code, len(out.splitlines())) == (0, 3)
    assert re.match(r"app +deviceId +name +timestamp ", out)
    rows = [json.loads(line) for line in run("head", "commands/Event", "--json")[1].splitlines()]
    assert sorted((row["name"], row["date"]) for row in rows) == [
        ("a", "2025-03-23"), ("b", "2025-03-23"), ("d", "2025-03-24"),
    ]  # fmt: skip
    assert rows[0]["timestamp"].endswith("T10:00:00Z")
    (device,) = [json.loads(line) for line in run("head", "commands/Device", "--json")[1].splitlines()]
    assert device["info"]["phoneModel"] == "P1"


def test_given_a_table_then_its_history_names_export_days_and_rows(run) -> None:
    code, out, _ = run("history", "commands/Event")
    newest, first, made = out.splitlines()[1:]
    assert code == 0
    assert re.match(r" +2  \S+Z  e2 +1 +1  2025-03-24$", newest)
    assert re.match(r" +1  \S+Z  e1 +1 +3  2025-03-23\.\.2025-03-24$", first)
    assert "CREATE TABLE" in made
    (last,) = json.loads(run("history", "commands/Event", "-n", "1", "--json")[1])
    assert (last["export_id"], last["attempt"], last["rows"]) == ("e2", 1, 1)
    assert last["manifest"] == "_manifests/commands/Event/e2-1.json"


def test_given_no_such_table_then_exit_2_and_those_there_are(run) -> None:
    for command in ("show", "head", "history"):
        code, out, err = run(command, "commands/Evnt")
        assert (code, out) == (2, "")
        assert "there is no table 'commands/Evnt'; there are: " in err
        assert "commands/Event" in err


def test_given_storage_that_does_not_answer_then_exit_3_and_the_setting(run, monkeypatch) -> None:
    gone = "http://127.0.0.1:9/x"
    monkeypatch.setenv(
        "DATA_STORAGE",
        f"DefaultEndpointsProtocol=http;AccountName=x;AccountKey=eA==;BlobEndpoint={gone};"
        f"QueueEndpoint={gone};TableEndpoint={gone};",
    )
    for command in (("list",), ("history", "a/Event"), ("migrate",)):
        code, _, err = run(*command)
        assert (code, err.startswith("mobexport: DATA_STORAGE: storage cannot be reached")) == (3, True), err


def test_given_a_wrong_key_then_exit_2_and_what_to_look_at(run, azurite, monkeypatch) -> None:
    wrong = re.sub("AccountKey=[^;]+", "AccountKey=d3Jvbmc=", azurite.connection_string)
    monkeypatch.setenv("DATA_STORAGE", wrong)
    code, _, err = run("list")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "may this app's identity use the account?" in err


def test_given_no_setting_then_it_is_named(run, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("DATA_STORAGE")
    code, _, err = run("list")
    assert (code, "DATA_STORAGE: set a connection string" in err) == (2, True)
    (tmp_path / "local.settings.json").write_text("[]")
    assert "local.settings.json: must be {" in run("list")[2]


def test_given_local_settings_then_they_count(run, azurite, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("DATA_STORAGE")
    values = {"IsEncrypted": False, "Values": {"DATA_STORAGE": azurite.connection_string}}
    (tmp_path / "local.settings.json").write_text(json.dumps(values))
    code, out, _ = run("list")
    assert (code, "commands/Event" in out) == (0, True)


def test_given_pointers_then_a_dry_run_and_a_migration(run, storage, tmp_path) -> None:
    files = upload(storage, "moved", tmp_path, events(DAYS[0], "a"))
    pointer = {
        "version": 1, "exportId": "e", "attempt": 1, "requestedAt": "2026-01-01T00:00:00.000Z",
        "manifest": "m", "files": [files[0].path], "rows": 1,
    }  # fmt: skip
    storage.write_json("curated", f"moved/Event/date={DAYS[0]}/_current.json", pointer)
    code, out, _ = run("migrate", "--dry-run")
    assert (code, "moved/Event: would commit e, attempt 1: 1 days, 1 files, 1 rows" in out) == (0, True)
    code, out, _ = run("migrate")
    assert (code, "1 rows are in the table" in out, "1 pointers are removed" in out) == (0, True, True)
    assert run("migrate")[1] == "no pointers: nothing to migrate\n"
    bad = storage.container("curated").upload_blob(f"moved/Event/date={DAYS[1]}/_current.json", b"{}")
    code, out, _ = run("migrate")
    assert (code, "left as it is: curated/moved/Event/date=2025-03-24/_current.json" in out) == (1, True)
    bad.delete_blob()


@pytest.mark.parametrize("words", [["head", "a/Event", "-n", "0"], ["show"], []])
def test_given_a_wrong_call_then_exit_2(run, words) -> None:
    assert run(*words)[0] == 2


def test_days_are_shown_as_ranges() -> None:
    days = [date(2025, 2, 28), date(2025, 3, 2), date(2025, 3, 1), date(2025, 3, 5)]
    assert day_ranges(days) == "2025-02-28..2025-03-02,2025-03-05"
    assert day_ranges([]) == ""
