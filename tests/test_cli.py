"""The command line as its user runs it."""

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from mobexport.cli import main

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
