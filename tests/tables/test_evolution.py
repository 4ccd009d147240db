"""Tables from one version of an export type to the next, and columns that are never null."""

import json
from dataclasses import replace

import duckdb
import polars as pl
import pytest
from curated import BEGIN, DAYS, EVENT, commit_of, delta_options, events, upload
from delta_log import read_log
from hostile import ODD, convert, element, listed

from mobexport import export_types
from mobexport.errors import DataError
from mobexport.export_types import Field, FieldKind
from mobexport.export_types.model import ExportType
from mobexport.tables.schema import table_schema
from mobexport.tables.tables import Tables

DEVICE = export_types.get("Device")


def changed(type_: ExportType, name: str, **changes) -> ExportType:
    fields = [replace(one, **changes) if one.name == name else one for one in type_.fields]
    return replace(type_, fields=tuple(fields))


def take(storage, app, folder, data, at, type_=EVENT) -> None:
    files = upload(storage, app, folder, data, type_=type_, day=DAYS[int(at)], stem=f"e{at}")
    Tables(storage).commit(commit_of(app, f"e{at}", at, files, type_=type_))


def test_given_an_object_that_gains_a_member_then_old_rows_read_as_null(
    storage, app, tmp_path, azurite
) -> None:
    take(storage, app, tmp_path / "1", b'[{"deviceId":"a","info":{"phoneModel":"P1"}}]', 1, DEVICE)
    members = (*DEVICE.field("info").members, Field("screen", FieldKind.TEXT, help="its size"))
    newer = changed(DEVICE, "info", members=members)
    data = b'[{"deviceId":"b","info":{"phoneModel":"P2","screen":"large"}},{"deviceId":"c"}]'
    take(storage, app, tmp_path / "2", data, 2, newer)
    expected = [("a", "P1", None), ("b", "P2", "large"), ("c", None, None)]
    frame = pl.scan_delta(f"az://curated/{app}/Device", storage_options=delta_options(azurite))
    info = pl.col("info").struct
    picked = frame.select("deviceId", info.field("phoneModel"), info.field("screen"))
    assert picked.sort("deviceId").collect().rows() == expected
    devices = Tables(storage).open(f"{app}/Device").to_pyarrow_dataset()
    query = "SELECT deviceId, info.phoneModel, info.screen FROM devices ORDER BY 1"
    assert duckdb.from_arrow(devices).query("devices", query).fetchall() == expected


def test_given_a_gained_column_then_duckdb_and_polars_read_null(storage, app, tmp_path, azurite) -> None:
    take(storage, app, tmp_path / "1", events(DAYS[0], "a"), 1)
    newer = replace(EVENT, fields=(*EVENT.fields, Field("colour", FieldKind.TEXT, help="of the shirt")))
    file = events(DAYS[1], "b").replace(b'"name"', b'"colour":"red","name"')
    take(storage, app, tmp_path / "2", file, 2, newer)
    take(storage, app, tmp_path / "3", events(DAYS[2], "c"), 3)  # by the older version, once more
    expected = [("a", None), ("b", "red"), ("c", None)]
    frame = pl.scan_delta(f"az://curated/{app}/Event", storage_options=delta_options(azurite))
    assert frame.select("name", "colour").sort("name").collect().rows() == expected
    dataset = Tables(storage).open(f"{app}/Event").to_pyarrow_dataset()
    query = "SELECT name, colour FROM rows ORDER BY 1"
    assert duckdb.from_arrow(dataset).query("rows", query).fetchall() == expected


def test_given_a_member_of_another_type_then_refused_with_a_remedy(storage, app, tmp_path) -> None:
    take(storage, app, tmp_path / "1", b'[{"deviceId":"a","info":{"androidAPILevel":3}}]', 1, DEVICE)
    members = [
        replace(one, kind=FieldKind.TEXT) if one.name == "androidAPILevel" else one
        for one in DEVICE.field("info").members
    ]
    newer = changed(DEVICE, "info", members=tuple(members))
    with pytest.raises(DataError, match=r"'info.androidAPILevel' is long there.* string;.*move the table"):
        Tables(storage).commit(commit_of(app, "x", 2, [], type_=newer))


def test_given_a_version_that_asks_for_less_then_the_column_may_be_null(storage, app) -> None:
    tables = Tables(storage)
    tables.commit(commit_of(app, "one", 1, []))
    newer = changed(EVENT, "name", required=False)
    tables.commit(commit_of(app, "two", 2, [], type_=newer))
    columns = json.loads(read_log(storage.container("curated"), f"{app}/Event").metadata["schemaString"])
    found = {one["name"]: one["nullable"] for one in columns["fields"]}
    assert (found["name"], found["deviceId"]) == (True, False)
    assert (BEGIN, tables.shows(commit_of(app, "two", 2, []))) == (BEGIN, True)


def never_null(type_: ExportType) -> set[str]:
    return {one.name for one in table_schema(type_).fields if not one.nullable} - {"date", "snapshot"}


def test_columns_that_are_never_null_are_those_a_record_must_have() -> None:
    found = {type_.name: never_null(type_) - {"app"} for type_ in export_types.all_types()}
    assert found["Event"] == {"deviceId", "name", "timestamp"}
    assert found["Session"] == {"sessionId", "deviceId", "start"}
    # deviceId is our addition there: other servers do not send it. Activities may be outside a session.
    assert found["Activity"] == {"name", "timestamp"}
    assert found["Device"] == {"deviceId"}


def test_given_hostile_records_then_no_null_where_the_table_says_never(tmp_path) -> None:
    records = [odd.record for odd in ODD]
    data = listed(*(element(record) for record in records), b"{}", element(records[0], group=""))
    done = convert(tmp_path, data)
    assert done.rows
    assert [row for row in done.rows if any(row[name] is None for name in never_null(EVENT))] == []
