"""The made-up data: the same bytes every time, and every term of the counts in it."""

import gzip
import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from demo.generate import APPS, KINDS, WINDOW, generate, main
from demo.independent_count import RULES, count_records
from demo.raw_data import in_folder

pytestmark = pytest.mark.long

# Changes only when the sample is changed on purpose; the demo's transcript in the README changes with it.
SHA256 = "27fafafb6e659649e1d7a85f9541b2f6015b341bf98a5d9efd2273d2abe7c9f5"
STRICT_APP = APPS[1].name


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "raw"
    generate(folder)
    return folder


def digest(folder: Path) -> str:
    """Of names, lines and rows: how DuckDB and zlib pack them is theirs."""
    total = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        content = file.read_bytes()
        if file.suffix == ".gz":
            content = gzip.decompress(content)
        elif file.suffix == ".parquet":
            rows = duckdb.execute("SELECT * FROM read_parquet($1, hive_partitioning = false)", [str(file)])
            content = repr([*(column[:2] for column in rows.description or []), *rows.fetchall()]).encode()
        total.update(f"{file.relative_to(folder).as_posix()}\0".encode() + content + b"\0")
    return total.hexdigest()


def test_given_the_seed_when_generated_then_the_bytes_are_the_pinned_ones(sample: Path) -> None:
    assert digest(sample) == SHA256


def test_given_another_hash_seed_then_the_command_makes_the_same_bytes(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "demo.generate", "--out", str(tmp_path / "raw")]
    done = subprocess.run(command, env={"PYTHONHASHSEED": "77"}, check=True, capture_output=True, text=True)
    assert digest(tmp_path / "raw") == SHA256
    assert "lines of 2 apps" in done.stdout


@pytest.mark.parametrize("type_", RULES)
def test_given_the_sample_when_counted_then_every_term_is_there(sample: Path, type_: str) -> None:
    export = next(one for one in in_folder(sample).exports(WINDOW) if one.export_type == type_)
    count = count_records(sample, export.app, type_, export.window, strict=True, feedback=export.feedback)
    terms = {
        "outside_window": bool(RULES[type_].time) or type_ in ("Push", "Device"),
        "superseded": type_ in ("Session", "Job", "Push", "Tag", "Token", "Device"),
        "removed": type_ in ("Tag", "Token", "Device"),
    }
    assert {name: getattr(count, name) > 0 for name in terms} == terms
    assert min(count.read, count.rejected, count.exported, count.elements, count.rows) > 0
    assert count.read == (
        count.rejected + count.outside_window + count.superseded + count.removed + count.exported
    )
    assert {"not JSON", "not an object", "not UTF-8", "half a character", "no deviceId", "bad time"} <= set(
        count.reasons
    )


def test_given_the_sample_then_strict_checks_reject_some_but_not_all(sample: Path) -> None:
    strict = count_records(sample, STRICT_APP, "Event", WINDOW, strict=True)
    assert 0 < strict.conversion_rejects < strict.exported


def test_sample_has_every_kind_and_all_formats_mixed_in_one_folder(
    sample: Path,
) -> None:
    for app in APPS:
        assert {folder.name for folder in (sample / app.name).iterdir()} == set(KINDS)
    formats = [
        Counter(file.name.split(".", 1)[1] for file in day.iterdir())
        for day in (sample / APPS[0].name / "events").iterdir()
    ]
    assert any(set(found) == {"ndjson", "ndjson.gz", "parquet"} for found in formats)
    times = {
        str(duckdb.execute("DESCRIBE SELECT timestamp FROM read_parquet($1)", [str(file)]).fetchall()[0][1])
        for file in sample.rglob("*.parquet")
        if file.parent.parent.name in ("events", "tags", "errors")
    }
    assert times == {"TIMESTAMP", "VARCHAR"}


def test_given_the_sample_when_read_then_the_oddities_are_in_it(sample: Path) -> None:
    files = [file.read_bytes() for file in sorted(sample.glob(f"{APPS[0].name}/events/*/*.ndjson"))]
    zipped = [gzip.decompress(file.read_bytes()) for file in sample.glob(f"{APPS[0].name}/events/*/*.gz")]
    events = b"\n".join(files + zipped)
    for oddity in (
        b'"sessionId":null',
        b"guest-",
        b'"coupon":null',
        b"+02:00",
        b"appVersion",
    ):
        assert oddity in events, oddity
    assert "お茶".encode() in events
    lines = [
        json.loads(line) for line in events.split(b"\n") if line.startswith(b'{"deviceId"') and _good(line)
    ]
    assert any("sessionId" not in line for line in lines)
    orders = [line["extras"]["orderId"] for line in lines if "orderId" in line.get("extras", {})]
    assert any(int(float(order)) != order for order in orders)  # beyond what a double can hold


def _good(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def test_given_a_folder_that_is_not_empty_then_nothing_is_generated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    assert main(["--out", str(tmp_path)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
