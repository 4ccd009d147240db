"""Badly made raw data: what `raw check` says of it, and what its export ends as."""

import gzip
import json
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hostile import cases
from raw_files import capture, lines, parquet, put, zstd

from mobexport import export_types
from mobexport.cli import main
from mobexport.config import ExportsConfig
from mobexport.errors import DataError
from mobexport.export_api.raw_check import check_raw_data
from mobexport.export_api.raw_folder import RawFolder
from mobexport.export_api.writer.export_file import RawFile, write_export
from mobexport.export_api.writer.raw_store import plan_files
from mobexport.records.limits import Limits

DAY = date(2025, 3, 23)
EVENT = {"deviceId": "d", "name": "n", "timestamp": "2025-03-23T10:00:00.000Z"}


def event(**change: Any) -> dict[str, Any]:
    return {name: value for name, value in {**EVENT, **change}.items() if value is not ...}


GOOD = lines(EVENT)
AT = "app/events/2025-03-23"


@dataclass(frozen=True)
class End:
    """What an export of the day's events ends as."""

    exported: int = 0
    rejected: int = 0
    skipped: int = 0
    """Reasons for files and folders that are not read."""
    error: str = ""


MAPPED = {"deviceId": "d", "name": "n", "timestamp": {"path": "t", "as": "epoch-s"}}
SECONDS = {"d": "d", "n": "n", "t": 1742724000}
TSV = {
    "format": "tsv",
    "columns": ["d", "e", "t"],
    "fields": {"deviceId": "d", "name": "e", "timestamp": "t"},
}

SETS = cases(
    ("all is well", {f"{AT}/a.ndjson": GOOD}, {}, "events: 1 files", End(1)),
    (
        "endings in upper case",
        {f"{AT}/a.NDJSON": GOOD, f"{AT}/B.Ndjson.GZ": gzip.compress(GOOD)},
        {},
        "2 records",
        End(2),
    ),
    ("zstd", {f"{AT}/a.ndjson.zst": zstd(GOOD * 9)}, {}, "9 records read", End(9)),
    ("gzip without its ending", {f"{AT}/a.ndjson": gzip.compress(GOOD)}, {}, "1 records read", End(1)),
    ("zstd without its ending", {f"{AT}/a.ndjson": zstd(GOOD)}, {}, "1 records read", End(1)),
    (
        "truncated zstd",
        {f"{AT}/a.ndjson.zst": zstd(GOOD * 99)[:-4]},
        {},
        "ends within its zstd data",
        End(error="ends within its zstd data"),
    ),
    (
        "damaged zstd",
        {f"{AT}/a.ndjson.zst": b"(\xb5/\xfdxxxxxxxx"},
        {},
        "is no intact zstd file: replace it",
        End(error="zstd"),
    ),
    (
        "truncated gzip",
        {f"{AT}/a.ndjson.gz": gzip.compress(GOOD)[:-4]},
        {},
        "ends within its gzip data",
        End(error="ends within its gzip data"),
    ),
    (
        "no Parquet",
        {f"{AT}/a.parquet": b"PAR1"},
        {},
        "cannot be read as Parquet",
        End(error="cannot be read as Parquet"),
    ),
    (
        "jsonl",
        {f"{AT}/c.jsonl": GOOD},
        {},
        "`events/2025-03-23/c.jsonl`: needs a mapping or the ending `.ndjson`",
        End(skipped=1),
    ),
    ("jsonl: the suggestion", {f"{AT}/c.jsonl": GOOD}, {}, 'format = "ndjson"', End(skipped=1)),
    (
        "an array: the suggestion",
        {f"{AT}/c.json": b"[" + GOOD.strip() + b"]"},
        {},
        'format = "json"',
        End(skipped=1),
    ),
    ("CSV", {f"{AT}/c.csv": b"a,b\n"}, {}, "needs a mapping or the ending `.ndjson`", End(skipped=1)),
    ("no ending", {f"{AT}/part-00000": GOOD}, {}, "needs a mapping or the ending `.ndjson`", End(skipped=1)),
    (
        "a singular folder",
        {"app/event/2025-03-23/a.ndjson": GOOD},
        {},
        "`event/`: is no kind; did you mean `events`?",
        End(skipped=1),
    ),
    (
        "a folder in upper case",
        {"app/Events/2025-03-23/a.ndjson": GOOD},
        {},
        "`Events/`: is no kind; did you mean `events`?",
        End(skipped=1),
    ),
    (
        "an unknown folder",
        {"app/clicks/2025-03-23/a.ndjson": GOOD},
        {},
        "`clicks/`: is no kind; there are activities, crashes",
        End(skipped=1),
    ),
    (
        "a day of digits",
        {"app/events/20250323/a.ndjson": GOOD},
        {},
        "is no day; did you mean `2025-03-23`?",
        End(skipped=1),
    ),
    ("a day without zeros", {"app/events/2025-3-23/a.ndjson": GOOD}, {}, "{date:%Y-%-m-%-d}", End(skipped=1)),
    (
        "folders of year, month, day",
        {"app/events/2025/03/23/a.ndjson": GOOD},
        {},
        "{date:%Y/%m/%d}",
        End(skipped=1),
    ),
    (
        "hive",
        {"app/events/dt=2025-03-23/a.ndjson": GOOD},
        {},
        'path = "{app}/{kind}/dt={date:%Y-%m-%d}/**"',
        End(skipped=1),
    ),
    (
        "no day of the calendar",
        {"app/events/2025-02-30/a.ndjson": GOOD},
        {},
        "is no day of the calendar",
        End(skipped=1),
    ),
    ("no folder of a day", {"app/events/a.ndjson": GOOD}, {}, "lies in no folder of a day", End()),
    (
        "no folder of an app",
        {"events/2025-03-23/a.ndjson": GOOD},
        {},
        "without a folder of their app around them",
        End(),
    ),
    (
        "hidden files",
        {f"{AT}/a.ndjson": GOOD, f"{AT}/._a.ndjson": b"\0", f"{AT}/_temporary/0/a.ndjson": GOOD},
        {},
        "1 records read",
        End(1, skipped=1),
    ),
    ("hours below the day", {f"{AT}/hour=10/a.ndjson": GOOD}, {}, "1 records read", End(1)),
    ("nothing", {}, {}, "there is no raw data", End()),
    ("an empty file", {f"{AT}/a.ndjson": b""}, {}, "0 records read", End()),
    (
        "other names",
        {f"{AT}/a.ndjson": lines({"device_id": "d", "event": "n", "ts": 1742724000})},
        {},
        'timestamp = { path = "ts", as = "epoch-s" }',
        End(0, 1),
    ),
    (
        "nothing like a name",
        {f"{AT}/a.ndjson": lines({"device_id": "d", "ts": 1742724000})},
        {},
        "# required: nothing like it was found",
        End(0, 1),
    ),
    (
        "local times",
        {f"{AT}/a.ndjson": lines({"device": "d", "event": "n", "time": "2025-03-23 10:00:00"})},
        {},
        'time_zone = "UTC"',
        End(0, 1),
    ),
    (
        "a bad time",
        {f"{AT}/a.ndjson": lines(EVENT, event(timestamp="soon"))},
        {},
        "events/2025-03-23/a.ndjson, record 2: bad-time:timestamp",
        End(1, 1),
    ),
    (
        "no device",
        {f"{AT}/a.ndjson": lines(EVENT, event(deviceId=...))},
        {},
        "rejected: missing:deviceId  1",
        End(1, 1),
    ),
    ("a nan", {f"{AT}/a.ndjson": lines(EVENT, b'{"deviceId":nan}')}, {}, "rejected: not-json  1", End(1, 1)),
    (
        "pretty-printed",
        {f"{AT}/a.ndjson": json.dumps(EVENT, indent=1).encode()},
        {},
        "rejected: not-json  5",
        End(0, 5),
    ),
    (
        "an array in .ndjson",
        {f"{AT}/a.ndjson": b"[" + GOOD.strip() + b"]"},
        {},
        "rejected: not-an-object  1",
        End(0, 1),
    ),
    (
        "undeclared names",
        {f"{AT}/a.ndjson": lines(event(colour="red"))},
        {},
        "undeclared, left out: colour 1",
        End(1),
    ),
    (
        "late data",
        {f"{AT}/a.ndjson": lines(EVENT, event(timestamp="2025-03-19T10:00:00Z"))},
        {},
        "filed too far from its day: 1 records, up to 4 days",
        End(1),
    ),
    (
        "mapped: hive and seconds",
        {"app/events/dt=2025-03-23/a.jsonl": lines(SECONDS)},
        {"path": "{app}/{kind}/dt={date:%Y-%m-%d}/*", "fields": MAPPED},
        "1 records read",
        End(1),
    ),
    (
        "mapped: an array",
        {f"{AT}/a.json": json.dumps([SECONDS, SECONDS], indent=2).encode()},
        {"fields": MAPPED},
        "2 records read",
        End(2),
    ),
    (
        "mapped: lines in .json.gz",
        {f"{AT}/a.json.gz": gzip.compress(lines(SECONDS))},
        {"fields": MAPPED},
        "1 records read",
        End(1),
    ),
    ("mapped: Parquet", {f"{AT}/a.parquet": parquet(SECONDS)}, {"fields": MAPPED}, "1 records read", End(1)),
    (
        "mapped: Avro",
        {f"{AT}/a.avro": capture(json.dumps(SECONDS, indent=1).encode(), lines(SECONDS, SECONDS))},
        {"fields": MAPPED},
        "3 records read",
        End(3),
    ),
    (
        "mapped: no Avro",
        {f"{AT}/a.avro": b"Obj\x01x"},
        {"fields": MAPPED},
        "cannot be read as Avro",
        End(error="cannot be read as Avro"),
    ),
    (
        "mapped: a broken body",
        {f"{AT}/a.avro": capture(b"oops")},
        {"fields": MAPPED},
        "rejected: not-json  1",
        End(0, 1),
    ),
    (
        "mapped: an array that does not end",
        {f"{AT}/a.json": b'[{"d":1},'},
        {"fields": MAPPED},
        "ends",
        End(error="ends"),
    ),
    (
        "mapped: others in between",
        {f"{AT}/a.jsonl": lines(SECONDS, {**SECONDS, "k": "x"})},
        {"where": {"k": "x"}, "fields": MAPPED},
        "left out by where: 1",
        End(1),
    ),
    (
        "mapped: an unknown ending",
        {f"{AT}/a.log": lines(SECONDS)},
        {"fields": MAPPED},
        "its ending says no format: set format in the mapping",
        End(skipped=1),
    ),
    (
        "mapped: tab-separated",
        {
            f"{AT}/a.tsv": b"d\tn\t2025-03-23T10:00:00Z\nd\tn\n",
            f"{AT}/b.txt.gz": gzip.compress(b"d\tn\tsoon"),
        },
        TSV,
        "rejected: not-a-row  1",
        End(1, 2),
    ),
    (
        "mapped: lines of JSON as cells",
        {f"{AT}/a.ndjson": GOOD},
        TSV,
        "rejected: not-a-row  1",
        End(0, 1),
    ),
    (
        "mapped: cells as lines of JSON",
        {f"{AT}/a.ndjson": b"d\tn\t2025-03-23T10:00:00Z\n"},
        {"fields": MAPPED},
        "rejected: not-json  1",
        End(0, 1),
    ),
    (
        "mapped: names with dots",
        {f"{AT}/a.jsonl": lines({"u.id": "d", "e": "n", "t": "2025-03-23T10:00:00Z", "u": {"id": 5}})},
        {"fields": {"deviceId": r"u\.id", "name": "e", "timestamp": "t"}},
        "1 records read",
        End(1),
    ),
    (
        "mapped: a folder of milliseconds",
        {"app/d/1742688000000/a.jsonl": lines(SECONDS), "app/d/2025-03-23/b.jsonl": lines(SECONDS)},
        {"path": "{app}/d/{date:%Q}/*", "fields": MAPPED},
        "does not fit the path {app}/d/{date:%Q}/*",
        End(1, skipped=1),
    ),
    (
        "mapped: another path",
        {f"{AT}/a.jsonl": lines(SECONDS), "app/events/x.jsonl": b""},
        {"path": "{app}/events/{date:%Y%m%d}/*", "fields": MAPPED},
        "does not fit the path {app}/events/{date:%Y%m%d}/*",
        End(skipped=0),
    ),
)


def ended(source: RawFolder, mapping: Any, tmp_path: Path) -> End:
    """The export's end, by the same steps as a task's."""
    declared = export_types.get("Event")
    mappings = {"events": mapping} if mapping else {}
    plan = plan_files(source, "raw", "app", declared, (DAY, DAY), 1, mappings)
    files = [
        RawFile(entry.name, partial(source.read_chunks, file.container, file.blob), entry.kind, entry.stored)
        for file in plan.files
        for entry in [file.entry("app")]
    ]
    try:
        counts = write_export(
            declared, files, window=(DAY, DAY), target=tmp_path / "target", rejects=tmp_path / "rejects",
            workdir=tmp_path / "work", limits=Limits(), mappings=mappings,
        )  # fmt: skip
    except DataError as error:
        return End(error=error.message)
    assert counts.balances()
    return End(counts.exported, counts.rejected, len(plan.skipped))


@pytest.mark.parametrize(("files", "raw", "said", "end"), SETS)
def test_given_bad_raw_data_when_checked_then_told_and_exported_so(tmp_path, files, raw, said, end) -> None:
    source = put(tmp_path / "raw", files)
    config = ExportsConfig.model_validate({"apps": {"app": {"raw": {"events": raw}}}} if raw else {})
    report = check_raw_data(source, "raw", config, slack_days=1)
    text = "\n".join(report.lines())
    assert said in text
    assert str(tmp_path) not in text
    found = ended(source, config.apps["app"].raw["events"] if raw else None, tmp_path)
    assert str(tmp_path) not in found.error
    if end.error:
        assert end.error in found.error
    else:
        assert found == end
    clean = not (end.error or end.rejected or end.skipped) and end.exported
    told_late = "filed too far" in text
    hidden_only = "hidden" in text
    assert report.has_problems == (not clean or told_late) or hidden_only


def test_given_a_suggestion_when_followed_then_the_data_is_read(tmp_path) -> None:
    record = {"device_id": "d", "event": "n", "ts": 1742724000, "props": {"a": 1}, "session": 5}
    source = put(tmp_path / "raw", {"app/events/20250323/a.jsonl": lines(record)})
    report = check_raw_data(source, "raw", ExportsConfig(), slack_days=1)
    [kind] = report.apps[0].kinds
    text = "\n".join(kind.suggestion.lines("app", "events"))
    (tmp_path / "exports.toml").write_text(text, "utf-8")
    assert main(["raw", "check", str(tmp_path / "raw"), "--config", str(tmp_path / "exports.toml")]) == 0
    from mobexport.config import load_config

    mapping = load_config(tmp_path / "exports.toml", required=True).apps["app"].raw["events"]
    assert ended(source, mapping, tmp_path) == End(1)


def test_given_an_app_of_another_name_when_checked_then_did_you_mean(tmp_path) -> None:
    source = put(tmp_path / "raw", {"com.example.Shop/events/2025-03-23/a.ndjson": GOOD})
    config = ExportsConfig.model_validate({"apps": {"com.example.shop": {}}})
    text = "\n".join(check_raw_data(source, "raw", config, slack_days=1).lines())
    assert "`com.example.Shop/`: exports.toml has no such app; did you mean `com.example.shop`?" in text
    assert (
        "com.example.shop: there is no folder `com.example.shop/`; did you mean `com.example.Shop`?" in text
    )


def test_given_long_files_when_checked_then_the_first_records(tmp_path) -> None:
    source = put(tmp_path / "raw", {f"{AT}/a.ndjson": GOOD * 50_000})
    [app] = check_raw_data(source, "raw", ExportsConfig(), slack_days=1, records=100).apps
    assert app.kinds[0].is_sampled
    assert 100 <= app.kinds[0].read < 50_000


def test_given_json_wanted_then_all_that_the_lines_say(tmp_path, capsys) -> None:
    bad = json.dumps({"deviceId": "d", "name": "\x1b[31mred", "timestamp": "soon"}).encode() + b"\n"
    raw = tmp_path / "raw"
    put(raw, {f"{AT}/a.ndjson": GOOD * 3 + bad, f"{AT}/b.jsonl": GOOD, "app/event/2025-03-23/a.ndjson": GOOD})
    config = tmp_path / "exports.toml"
    config.write_text("[apps.app]", "utf-8")
    words = ["raw", "check", str(raw), "--config", str(config)]
    assert main([*words, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["problems"], told["notes"]) == (True, [])
    (app,) = told["apps"]
    (kind,) = [one for one in app["kinds"] if one["kind"] == "events"]
    assert (kind["files"], kind["records"], kind["rejected"], kind["days"]) == (1, 4, 1, {"2025-03-23": 3})
    (reject,) = kind["rejects"]
    assert (reject["file"], reject["line"]) == ("events/2025-03-23/a.ndjson", 4)
    assert {one["files"] for one in app["notRead"]} == {0, 1}
    assert main(words) == 1
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "something would be left out: 1 of 1 apps"
    assert "\x1b" not in printed


def test_given_no_folder_when_checked_then_exit_2(tmp_path, capsys) -> None:
    assert main(["raw", "check", str(tmp_path / "none")]) == 2
    assert "is no folder" in capsys.readouterr().err


def test_given_a_container_when_checked_then_as_a_folder(azurite, monkeypatch, capsys, request) -> None:
    from mobexport.settings import read_settings
    from mobexport.storage import DataStorage

    values = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    container = DataStorage(read_settings(values)).container("raw-check")
    for name in (f"{AT}/a.ndjson", f"{AT}/b.jsonl", "app/event/2025-03-23/a.ndjson"):
        container.upload_blob(name, GOOD, overwrite=True)
    container.upload_blob("app/folder", b"", metadata={"hdi_isfolder": "true"}, overwrite=True)
    assert main(["raw", "check", "--container", "raw-check"]) == 1
    printed = capsys.readouterr().out
    assert "events: 1 files" in printed
    assert "`event/`: is no kind; did you mean `events`?" in printed
    assert "b.jsonl`: needs a mapping" in printed
    assert "`folder`" not in printed
    assert main(["raw", "check", "--container", "raw-none"]) == 2
    assert "has no container 'raw-none'" in capsys.readouterr().err
