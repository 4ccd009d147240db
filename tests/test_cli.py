"""The command line as its user runs it."""

import gzip
import io
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mobexport.cli import main

ROOT = Path(__file__).parent.parent
GUID = "9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f"
FILE = [
    {
        "deviceId": GUID,
        "events": [
            {"name": "open", "timestamp": "2025-03-23T10:00:00Z"},
            {"name": "bad", "timestamp": "soon"},
        ],
    }
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "Event-1.json"
    path.write_text(json.dumps(FILE))
    return path


def test_given_an_export_file_when_converted_then_parquet_and_rejects(file, tmp_path, capsys) -> None:
    assert main(["convert", str(file), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"rows +1\b", printed)
    assert re.search(r"rejected +1\b", printed)
    assert len(list((tmp_path / "out").rglob("*.parquet"))) == 1


def test_given_a_bad_record_when_checked_then_the_reason_and_exit_1(file, tmp_path, capsys) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert main(["check", str(file)]) == 1
    assert "timestamp" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


def test_given_a_check_of_a_renamed_file_then_its_type_is_seen_in_it(file, capsys) -> None:
    other = file.rename(file.with_name("export.json"))
    assert main(["check", str(other)]) == 1
    assert "Event" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("element", "name"),
    [
        ({"sessionId": GUID, "activities": []}, "Activity"),
        ({"deviceId": GUID, "crashes": []}, "Crash"),
        ({"deviceId": GUID, "meta": {}}, "Device"),
        ({"deviceId": GUID, "meta": {}, "appInfo": {}}, "Device"),
        ({"deviceId": GUID, "errors": []}, "Error"),
        ({"jobId": "j", "deviceId": GUID, "name": "n", "start": "2025-03-23T10:00:00Z", "extras": {}}, "Job"),
        ({"deviceId": GUID, "campaignType": "Poll", "campaignId": 1, "status": []}, "Push"),
        ({"sessionId": "s", "deviceId": GUID, "start": "2025-03-23T10:00:00Z"}, "Session"),
        ({"deviceId": GUID, "token": "t", "type": "gcm"}, "Token"),
        ({"deviceId": GUID, "appInfo": {}}, None),
        ({"deviceId": GUID}, None),
        ({"deviceId": GUID, "name": "n"}, None),
    ],
)
def test_given_a_check_of_any_file_then_type_is_seen_unless_ambiguous(
    tmp_path, capsys, element, name
) -> None:
    path = tmp_path / "some.json"
    path.write_text(json.dumps([element]))
    code = main(["check", str(path)])
    printed = capsys.readouterr()
    if name:
        assert f"some.json: {name}, " in printed.out
    else:
        assert code == 2
        assert "cannot tell" in printed.err


@pytest.mark.parametrize(
    ("content", "arguments"),
    [
        ('[{"deviceId"', []),
        ("{}", ["--type", "Event"]),
        ("[]x", ["--type", "Event"]),
        ("[]", ["--type", "Fax"]),
        ("[]", []),
        ("[]", ["--type", "Tag", "--window", "2025-03-01", "2025-03-02"]),
    ],
)
def test_given_something_unusable_when_checked_then_one_line_and_exit_2(
    tmp_path, capsys, content, arguments
) -> None:
    path = tmp_path / "some.json"
    path.write_text(content)
    assert main(["check", str(path), *arguments]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_given_no_such_file_when_checked_then_exit_2(tmp_path, capsys) -> None:
    assert main(["check", str(tmp_path / "none.json"), "--type", "Event"]) == 2
    assert "none.json" in capsys.readouterr().err


def test_given_no_app_when_traced_then_exit_3_and_what_to_do(capsys) -> None:
    assert main(["trace", "some-id", "--url", "http://127.0.0.1:9"]) == 3
    assert "is the app running?" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--type", "Event"]])
def test_given_standard_input_when_checked_then_as_a_file(monkeypatch, capsys, more) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(json.dumps(FILE).encode())))
    assert main(["check", "-", *more]) == 1
    assert "standard input: Event, 2 records" in capsys.readouterr().out


def test_given_a_csv_file_when_converted_then_parquet(tmp_path, capsys) -> None:
    path = tmp_path / "Event-1.csv"
    path.write_text("deviceId,name,timestamp\r\nd,open,2025-03-23T10:00:00Z\r\nd,,2025-03-23T10:00:00Z\r\n")
    assert main(["convert", str(path), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"rows +1\b", printed)
    assert "missing:name  1" in printed


def test_given_a_terminal_when_converted_then_bytes_rows_and_speed(file, tmp_path, monkeypatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("mobexport.cli.files._EVERY_SECONDS", 0)
    assert main(["convert", str(file), "--out", str(tmp_path / "out")]) == 0
    assert re.search(r"\d of \d MB, 1 rows, \d+ MB/s", terminal.getvalue())


RAW = b'{"deviceId":"d","name":"open","timestamp":"2025-03-23T10:00:00Z"}\n'


@pytest.mark.parametrize("packed", [False, True])
def test_raw_data_is_recognised_and_its_place_is_told(tmp_path, capsys, packed: bool) -> None:
    path = tmp_path / ("events.ndjson.gz" if packed else "Event-1.json")
    path.write_bytes(gzip.compress(RAW) if packed else RAW)
    assert main(["check", str(path)]) == 2
    assert "this is raw data, one JSON object a line" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["x.json", "x.json.gz", "x"])
def test_a_packed_file_is_read_whatever_its_name(tmp_path, capsys, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(json.dumps(FILE).encode()))
    assert main(["check", str(tmp_path / name)]) == 1
    assert "Event, 2 records" in capsys.readouterr().out


def test_a_packed_csv_is_read_as_one(tmp_path, capsys) -> None:
    text = "deviceId,name,timestamp\r\nd,open,2025-03-23T10:00:00Z\r\n"
    (tmp_path / "Event-1.csv.gz").write_bytes(gzip.compress(text.encode()))
    main(["check", str(tmp_path / "Event-1.csv.gz")])
    assert re.search(r"rows +1\b", capsys.readouterr().out)


def test_another_type_than_asked_for_is_told(file, capsys) -> None:
    assert main(["check", str(file), "--type", "Session"]) == 2
    assert "looks like Event, not like Session" in capsys.readouterr().err
    assert main(["check", str(file), "--type", "Event"]) == 1


def run(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mobexport", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, **options)


def test_a_reader_that_has_gone_makes_no_noise() -> None:
    child = run("openapi")
    child.stdout.close()
    child.wait(timeout=30)
    assert child.stderr.read() == b""


def test_ctrl_c_makes_no_noise() -> None:
    child = run("check", "-", "--type", "Event")
    time.sleep(2)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=30) == 130
    assert child.stderr.read().strip() == b""  # the end of the line that ^C began
