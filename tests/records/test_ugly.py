"""What real programs wrote, in ../shared/data/ugly: what a user rightly expects of each."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.storage.blob import ContentSettings
from hostile import DAY, Written, cases, chain, convert, write

from mobexport import export_types
from mobexport.export_api.writer import raw_store
from mobexport.export_api.writer.export_file import RawFile, write_export
from mobexport.records.limits import Limits
from mobexport.settings import read_settings
from mobexport.storage import DataStorage

UGLY = Path(__file__).parents[3] / "shared" / "data" / "ugly"
PATTERNS = (".ndjson", ".ndjson.gz", ".parquet")

pytestmark = pytest.mark.skipif(not UGLY.is_dir(), reason="no ../shared/data/ugly beside the project")


def files(folder: Path) -> dict[str, bytes]:
    """What lies below an app's folder, by name."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name.endswith(PATTERNS))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def taken(tmp_path: Path, app: str, export_type: str = "Event") -> Written:
    """An app's raw files, written; what was exported is converted as well."""
    contents = files(UGLY / app)
    assert contents, app
    written = write(tmp_path, contents, export_type)
    chain(tmp_path, written, export_type)
    return written


@pytest.mark.parametrize(
    ("app", "rules", "exported"),
    cases(
        (
            "a nan among a device's events",
            "01-nan-takes-the-device-along/raw/m01.nan-mix",
            {"not-json": 1},
            999,
        ),
        ("a deep one", "01-nan-takes-the-device-along/raw/m02.deep-mix", {"too-deep": 1}, 999),
        ("a deep one, with an escape", "01-nan-takes-the-device-along/raw/m05.esc-mix", {"too-deep": 1}, 999),
        ("PHP's escapes and a nan", "01-nan-takes-the-device-along/raw/m06.php", {"not-json": 1}, 51),
        ("spellings of nan", "05-lower-case-nan/raw/b24b.nan-forms", {"not-json": 16}, 0),
        ("objects on one line", "16-small-things/raw/a04.concat", {}, 50),
        ("nested lists", "16-small-things/raw/b25.deep", {"too-deep": 8}, 3),
        ("a column file_row_number", "13-parquet-one-bad-row/raw/q18.frn", {}, 3),
        ("files without rows, columns and types", "13-parquet-one-bad-row/raw/q22.zero", {}, 3),
    ),
)
def test_given_raw_files_when_exported_then_only_what_is_at_fault_goes(
    tmp_path, app, rules, exported
) -> None:
    written = taken(tmp_path, app)
    assert Counter(reject["rule"] for reject in written.rejects) == rules
    assert written.counts.exported == exported
    assert written.counts.read == exported + sum(rules.values())


def test_given_the_event_of_one_line_when_bad_then_that_line_is_told(tmp_path) -> None:
    written = taken(tmp_path, "01-nan-takes-the-device-along/raw/m01.nan-mix")
    assert written.faults == [(501, "not-json", None)]
    assert '{"v":nan}' in written.rejects[0]["original"]
    assert b'{"v":1e3}' in written.data


def test_given_a_name_of_40000_characters_when_exported_then_it_is_cut(tmp_path) -> None:
    counts = taken(tmp_path, "02-long-unknown-names-hang/raw/b28.long-key").counts
    assert (counts.exported, counts.unknown_fields) == (3, {"k" * 64 + "…": 1})


def test_given_50_long_names_when_exported_then_all_are_told_cut(tmp_path) -> None:
    counts = taken(tmp_path, "02-long-unknown-names-hang/raw/b28b.50-keys").counts
    assert (counts.exported, len(counts.unknown_fields)) == (51, 50)
    assert all(len(name) == 65 for name in counts.unknown_fields)
    assert len(json.dumps(counts.to_json())) < 10_000


@pytest.mark.parametrize(
    "app",
    [
        "04-parquet-timestamp-ns-utc/raw/q02.ns-utc",
        "04-parquet-timestamp-ns-utc/raw/q06.ns-berlin",
        "07-parquet-ns-naive-rounds/raw/q03.ns-naive",
    ],
)
def test_given_nanoseconds_in_parquet_when_exported_then_cut(tmp_path, app) -> None:
    written = taken(tmp_path, app)
    assert {record["timestamp"] for record in written.records} == {
        "2025-03-23T10:00:00.123456Z",
        "2025-03-23T10:00:01.000Z",
        "2025-03-23T10:00:02.999999Z",
    }


def test_given_the_last_nanosecond_of_a_day_when_exported_then_of_that_day(tmp_path) -> None:
    written = taken(tmp_path, "07-parquet-ns-naive-rounds/raw/q03b.ns-midnight")
    assert {record["name"]: record["timestamp"] for record in written.records} == {
        "parquet": "2025-03-23T23:59:59.999999Z",
        "line": "2025-03-23T23:59:59.999999Z",
    }


def by_name(written: Written) -> dict[str, Any]:
    return {record["name"]: record.get("extras") for record in written.records}


def test_given_a_file_of_pandas_when_exported_then_its_records(tmp_path) -> None:
    written = taken(tmp_path, "04-parquet-timestamp-ns-utc/raw/q29.pandas")
    assert by_name(written) == {"a": {"a": 1}, "b": {"b": "x"}, "c": None}
    assert written.counts.unknown_fields == {"__index_level_0__": 3}


def test_given_a_file_of_polars_when_exported_then_its_records(tmp_path) -> None:
    written = taken(tmp_path, "04-parquet-timestamp-ns-utc/raw/q38.polars")
    assert by_name(written) == {"a": {"a": 1, "l": ["x"]}, "b": {"a": 2, "l": []}}
    assert written.counts.unknown_fields == {"e": 2}


@pytest.mark.parametrize(
    ("name", "bad", "names"),
    cases(
        ("nan", "Event-19-nan.json", [1, 2, 3], ["d"]),
        ("NUL", "Event-24-nul.json", [2], ["a\0b", "ok"]),
        ("comma at the end", "Event-27-one-bad-rec.json", [1], ["ok"]),
        ("newline in a string", "Event-30-newline-in-str.json", [1], ["ok"]),
    ),
)
def test_given_a_bad_record_in_an_element_when_converted_then_the_others(tmp_path, name, bad, names) -> None:
    done = convert(tmp_path, (UGLY / "08-check-loses-the-element" / name).read_bytes())
    assert done.faults == [(1, record, "not-json", None) for record in bad]
    assert done.names == names


def test_given_members_in_other_case_when_exported_then_apart(tmp_path) -> None:
    written = taken(tmp_path, "12-parquet-case-names/raw/q15.struct-case")
    assert [record["extras"] for record in written.records] == [{"id": 1, "Id": 2, "ID": 3}] * 3


def test_given_columns_in_other_case_when_exported_then_the_exact_one(tmp_path) -> None:
    written = taken(tmp_path, "12-parquet-case-names/raw/q16.col-case")
    assert (written.names, written.counts.unknown_fields) == (["right"] * 3, {"Name": 3})


def test_given_binary_columns_when_exported_then_text(tmp_path) -> None:
    written = taken(tmp_path, "14-parquet-types/raw/q13.binary")
    assert by_name(written) == {"café": {"a": 1}, "b": {"a": 1}, "c": {"a": 1}}


def test_given_nested_columns_when_exported_then_json_and_drops_counted(tmp_path) -> None:
    written = taken(tmp_path, "14-parquet-types/raw/q19b.nested")
    extras = written.records[0]["extras"]
    inner = extras.pop("s")
    assert extras.pop("tns") == "2025-03-23T10:00:00.123456Z"
    assert extras == {"l": [1, None, 3], "m": {"k": 1, "z": None}, "ls": [{"x": 1}, None]}
    assert inner.pop("t") == "2025-03-23T10:00:00.123456Z"
    assert inner.pop("tm").startswith("01:02:03")
    assert float(inner.pop("d")) == 1.5
    assert inner.pop("f32") == pytest.approx(0.1)
    assert inner == {
        "u": 2**64 - 1, "dt": "2025-01-02", "bo": True, "q'uo\"te": "x", "e": [],
        "g": 1e22, "h": 0.1, "i": 5.0,
    }  # fmt: skip
    assert [*written.counts.unknown_fields] == ["extras:not-json"]


def test_given_nan_in_structs_when_exported_then_left_out_and_counted(tmp_path) -> None:
    written = taken(tmp_path, "14-parquet-types/raw/q31b.struct-nan")
    assert sorted(json.dumps(record["extras"]) for record in written.records) == [
        '{"a": 1.5, "b": 2.0}', '{"b": -0.0}', "{}"
    ]  # fmt: skip
    assert written.counts.unknown_fields.keys() == {"extras:not-json"}


def test_given_doubles_for_ids_when_exported_then_whole_numbers(tmp_path) -> None:
    written = taken(tmp_path, "14-parquet-types/raw/q33.float-ids", "Push")
    assert sorted(one["campaignId"] for one in json.loads(written.data)) == [5, 6, 7]
    written = taken(tmp_path, "14-parquet-types/raw/q34b.device-float", "Device")
    metas = {one["deviceId"][-1]: one.get("meta") for one in json.loads(written.data)}
    assert metas == {"1": {"firstSeen": 1742740239535}, "2": {}}
    assert b"1742740239535}" in written.data


def test_given_lists_of_any_depth_when_exported_then_512_levels_decide(tmp_path) -> None:
    written = taken(tmp_path, "16-small-things/raw/b25.deep")
    assert written.rules == [(line, "too-deep") for line in (3, 4, 5, 6, 7, 8, 9, 11)]
    assert {one["deviceId"] for one in json.loads(written.data)} == {"d50", "d500", "d501"}


def test_given_pushes_when_exported_then_only_exact_numbers_and_words(tmp_path) -> None:
    written = taken(tmp_path, "16-small-things/raw/p90.push", "Push")
    assert written.faults == [
        *((line, "wrong-type", "campaignId") for line in (2, 4, 5, 6)),
        (8, "unknown-value", "status"), (9, "unknown-value", "campaignType"), (10, "wrong-type", "status"),
    ]  # fmt: skip
    assert sorted(one["campaignId"] for one in json.loads(written.data)) == [-1, 5, 999999999999999999]


# -- made by a script --------------------------------------------------------------------------------------


def made(tmp_path: Path, folder: str, *changes: tuple[str, str]) -> Path:
    """Runs a copy of the folder's script, changed."""
    script = (UGLY / folder / "make.py").read_text("utf-8")
    for old, new in changes:
        assert old in script
        script = script.replace(old, new)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "make.py").write_text(script, "utf-8")
    subprocess.run([sys.executable, "make.py"], cwd=tmp_path / "made", check=True, capture_output=True)
    return tmp_path / "made" / "raw"


@pytest.mark.long
def test_given_many_gzip_files_when_exported_then_all_their_records(tmp_path) -> None:
    folder = made(tmp_path, "06-many-gzip-files", ("range(300000)", "range(10000)"))
    contents = files(folder / "z01.gz12")
    written = write(tmp_path, contents)
    assert len(contents) == 12
    assert (written.counts.exported, written.counts.rejected) == (120_000, 0)
    assert chain(tmp_path, written).done.rows == 120_000


def test_given_gzip_as_content_encoding_when_exported_then_all_records(tmp_path, azurite) -> None:
    folder = made(tmp_path, "03-content-encoding-gzip")
    storage = DataStorage(
        read_settings(
            {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
        )
    )
    read = {}
    for path in sorted(folder.rglob("*.ndjson*")):
        name = path.relative_to(folder).as_posix()
        storage.container("ugly-03").upload_blob(
            name, path.read_bytes(), overwrite=True, content_settings=ContentSettings(content_encoding="gzip")
        )
        [blob] = storage.list_blobs("ugly-03", name)
        counts = write_export(
            export_types.get("Event"),
            [RawFile(name, lambda blob=blob: storage.read_chunks("ugly-03", blob))],
            window=(DAY, DAY),
            target=tmp_path / "target",
            rejects=tmp_path / "rejects",
            workdir=tmp_path / "work",
            limits=Limits(),
        )
        read[name.partition("/")[0]] = (counts.read, counts.exported)
    assert read == {
        "e01.ce-gz": (2, 2), "e02.ce-plain-name": (2, 2), "e04.ce-plain-big": (16_000, 16_000)
    }  # fmt: skip


# -- which files are raw files -----------------------------------------------------------------------------


class Listing:
    """The container's client, as far as listing goes: a folder of files, and what blobs.json says of them."""

    def __init__(self, folder: Path) -> None:
        told = folder.parent / "blobs.json"
        self._told = json.loads(told.read_text("utf-8")) if told.exists() else {}
        self._folder = folder

    def list_blobs(self, name_starts_with: str = "", **_: Any) -> list[SimpleNamespace]:
        found = []
        for path in sorted(self._folder.rglob("*")):
            stored = path.relative_to(self._folder).as_posix()
            name = stored.removesuffix("#dir")
            if path.is_file() and name.startswith(name_starts_with):
                metadata = self._told.get(stored, {}).get("metadata", {})
                size = path.stat().st_size
                plain = SimpleNamespace(content_encoding=None)
                found.append(
                    SimpleNamespace(name=name, etag="e", size=size, metadata=metadata, content_settings=plain)
                )
        return found

    def walk_blobs(self, prefix: str, **_: Any) -> list[SimpleNamespace]:
        names = (one.name.removeprefix(prefix).partition("/") for one in self.list_blobs(prefix))
        return [SimpleNamespace(name=prefix + name) for name in sorted({a + b for a, b, _ in names})]


@pytest.mark.parametrize(
    ("folder", "app", "chosen"),
    cases(
        ("a directory marker", "09-directory-marker", "e07.hns-dir", ["events.parquet/part-00000.ndjson"]),
        ("of macOS, Hadoop and checksums", "10-hidden-and-temporary", "d61.hidden", ["x.ndjson"]),
        ("a job that did not end", "10-hidden-and-temporary", "h01.temporary", ["part-00000.ndjson"]),
        ("underscores and swap files", "10-hidden-and-temporary", "h02.underscore", ["x.ndjson"]),
        ("of macOS, Parquet", "10-hidden-and-temporary", "q27.hidden", ["x.parquet"]),
    ),
)
def test_given_files_that_are_no_data_when_planned_then_left_alone(monkeypatch, folder, app, chosen) -> None:
    storage = DataStorage(
        read_settings(
            {"DATA_STORAGE": "UseDevelopmentStorage=true", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
        )
    )
    monkeypatch.setattr(storage, "container", lambda name, **_: Listing(UGLY / folder / "raw"))
    event = export_types.get("Event")
    for window in ((DAY, DAY), None):
        plan = raw_store.plan_files(storage, "raw", app, event, window, 1)
        assert [one.blob.name.removeprefix(f"{app}/events/2025-03-23/") for one in plan.files] == chosen
