"""The snippets of docs/read-the-data.md that are called proven, run over a table on Azurite."""

import os
import re
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import generate_container_sas

from devhost.azurite import ACCOUNT, PUBLIC_KEY
from mobexport import export_types
from mobexport.pipeline.process.conversion import convert_file
from mobexport.records.limits import Limits
from mobexport.settings import read_settings
from mobexport.storage import DataStorage
from mobexport.tables.commit import NewFile, TableCommit
from mobexport.tables.tables import Tables

PAGE = (Path(__file__).parents[1] / "docs" / "read-the-data.md").read_text("utf-8")
DAY = date(2025, 3, 23)
RECORD = b'{"name":"%b","timestamp":"2025-03-23T10:00:00Z"}'
FILE = b'[{"deviceId":"d","events":[%b,%b]}]' % (RECORD % b"a", RECORD % b"b")


@pytest.fixture(scope="module")
def table(azurite_alone, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The table of the page, `shop/Event`: others use that name too."""
    tmp_path = tmp_path_factory.mktemp("table")
    settings = {"DATA_STORAGE": azurite_alone.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    storage, event = DataStorage(read_settings(settings)), export_types.get("Event")
    done = convert_file(
        event, [FILE], app="shop", window=(DAY, DAY), snapshot_day=None, strict=False, stem="x",
        out_dir=tmp_path / "out", workdir=tmp_path / "work", limits=Limits(2**26, 2**28),
    )  # fmt: skip
    (output,) = done.outputs
    path = f"shop/Event/date={DAY}/x.parquet"
    storage.upload_file("curated", path, output.path, "application/vnd.apache.parquet")
    file = NewFile(path, DAY, output.rows, output.bytes, output.stats)
    Tables(storage).commit(TableCommit("shop", event, "e", 1, datetime.now(UTC), (DAY,), [file]))


def test_given_the_pages_python_when_run_then_every_reader_sees_the_rows(table, azurite_alone) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    key = re.search(r"AccountKey=([^;]+)", azurite_alone.connection_string)
    found: dict[str, Any] = {"KEY": key and key[1]}
    for block in blocks:
        code = block.replace("http://127.0.0.1:10000/devstoreaccount1", azurite_alone.blob_endpoint)
        exec(code, found)
    assert found["rows"].num_rows == len(found["frame"]) == 2
    assert found["by_name"].rows() == [("a", 1), ("b", 1)]
    assert found["found"] == [("a", 1), ("b", 1)]


def test_given_the_pages_curl_and_a_sas_then_log_and_file_are_read(
    table, azurite_alone, tmp_path: Path
) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    until = datetime.now(UTC) + timedelta(hours=1)
    sas = generate_container_sas(ACCOUNT, "curated", PUBLIC_KEY, permission="r", expiry=until)
    given = {"CURATED": f"{azurite_alone.blob_endpoint}/curated", "SAS": sas, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        ["bash", "-e", "-c", block],
        cwd=tmp_path, env={**os.environ, **given}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "date=2025-03-23/x.parquet" in done.stdout
    assert (tmp_path / "day.parquet").read_bytes().startswith(b"PAR1")
