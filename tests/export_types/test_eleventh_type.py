"""A declaration is all that a new type needs: a made-up one goes from raw lines to Parquet."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import pytest

from mobexport import export_types
from mobexport.errors import UnknownExportType
from mobexport.export_api.writer.export_file import RawFile, write_export
from mobexport.export_types import ExportType, Field, FieldKind, Grouped
from mobexport.pipeline.process.conversion import convert_file
from mobexport.records.limits import Limits

DAY = date(2025, 3, 23)
PURCHASE = ExportType(
    name="Purchase",
    route="purchases",
    kind="purchases",
    historical=True,
    shape=Grouped(nested="purchases"),
    group=("buyerId",),
    time="paidAt",
    fields=(
        Field("buyerId", FieldKind.ID, required=True),
        Field("sku", FieldKind.TEXT, required=True),
        Field("paidAt", FieldKind.TIME, required=True),
        Field("storeId", FieldKind.ID, strict=True),
        Field("basket", FieldKind.JSON),
    ),
)
RAW = b"""\
{"buyerId":"b1","sku":"later","paidAt":"2025-03-23T12:00:00+02:00","basket":[1e3,{"n":12345678901234567890}]}
{"buyerId":"b1","sku":"first","paidAt":"2025-03-23T09:00:00Z","colour":"red"}
{"buyerId":"b1","sku":"outside","paidAt":"2025-03-22T23:59:59Z"}
{"sku":"nobody","paidAt":"2025-03-23T09:00:00Z"}
"""


def test_given_a_made_up_type_then_raw_becomes_parquet_with_no_other_edit(
    tmp_path: Path,
) -> None:
    with export_types.registered(PURCHASE):
        assert export_types.by_route("PURCHASES") is PURCHASE
        (tmp_path / "server").mkdir()
        counts = write_export(
            export_types.get("purchase"),
            [RawFile("purchases/2025-03-23/a.ndjson", lambda: iter([RAW]))],
            window=(DAY, DAY),
            target=tmp_path / "file.json",
            rejects=tmp_path / "rejects.ndjson",
            workdir=tmp_path / "server",
            limits=Limits(),
        )
        assert counts.balances()
        assert (counts.read, counts.rejected, counts.outside_window, counts.exported) == (4, 1, 1, 2)
        assert counts.unknown_fields == {"colour": 1}
        assert json.loads((tmp_path / "file.json").read_bytes())[0]["purchases"][0]["sku"] == "first"
        (tmp_path / "client").mkdir()
        conversion = convert_file(
            PURCHASE,
            [(tmp_path / "file.json").read_bytes()],
            app="shop",
            window=(DAY, DAY),
            snapshot_day=None,
            strict=False,
            stem="x",
            out_dir=tmp_path / "out",
            workdir=tmp_path / "client",
            limits=Limits(),
        )
    assert (conversion.records, conversion.rows, conversion.rejected) == (2, 2, 0)
    assert conversion.lenient["missing:storeId"] == 2
    (output,) = conversion.outputs
    rows = duckdb.sql(f"SELECT app, buyerId, sku, basket FROM '{output.path}'").fetchall()
    assert rows == [
        ("shop", "b1", "first", None),
        ("shop", "b1", "later", '[1e3,{"n":12345678901234567890}]'),
    ]
    with pytest.raises(UnknownExportType, match="Activity, Crash, Device"):
        export_types.get("Purchase")


def test_importing_the_declarations_loads_nothing_heavy() -> None:
    code = (
        "import sys, mobexport.export_types;"
        "print([m for m in ('duckdb', 'pydantic', 'azure', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("declared", export_types.all_types(), ids=lambda declared: declared.name)
def test_given_a_declaration_then_none_of_its_samples_is_rejected(
    declared: ExportType, tmp_path: Path
) -> None:
    lines = "\n".join(declared.samples).encode()
    counts = write_export(
        declared,
        [RawFile("a.ndjson", lambda: iter([lines]))],
        window=(DAY, DAY) if declared.historical else None,
        target=tmp_path / "file",
        rejects=tmp_path / "rejects",
        workdir=tmp_path,
        limits=Limits(),
    )
    assert (counts.read, counts.exported) == (len(declared.samples), len(declared.samples))
