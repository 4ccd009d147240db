"""What a person sees in a storage browser: a README in each container, content types and metadata."""

import re
from pathlib import Path

import pytest

from demo.raw_data import in_container, raw_container
from mobexport.blob_labels import RAW_README, README, READMES, export_labels, task_labels
from mobexport.blob_paths import COMPLETE_PATTERN, CURATED_CONTAINER, parse_complete_path
from mobexport.config import ExportsConfig
from mobexport.export_api.raw_check import check_raw_data
from mobexport.export_api.writer.raw_layout import HIDDEN, RawLayout, Skip
from mobexport.export_types import all_types
from mobexport.raw_mapping import RawMapping
from mobexport.settings import Settings, read_settings
from mobexport.storage import DataStorage
from mobexport.tables.pointers import pointer_blobs
from mobexport.tables.tables import Tables
from mobexport.wire import AttemptRef, TaskRef

ROOT = Path(__file__).parents[1]
TEXTS = {**READMES, "raw": RAW_README}


@pytest.fixture
def storage(azurite_alone) -> DataStorage:
    values = {"DATA_STORAGE": azurite_alone.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    return DataStorage(read_settings(values))


def readme(storage: DataStorage, container: str) -> str:
    blob = storage.container(container, create=False).get_blob_client(README)
    assert blob.get_blob_properties().content_settings.content_type == "text/plain; charset=utf-8"
    return blob.download_blob().readall().decode()


@pytest.mark.parametrize("container", READMES)
def test_given_a_container_of_ours_when_made_then_it_says_what_is_in_it(storage, container: str) -> None:
    storage.container(container)
    assert readme(storage, container) == READMES[container]


def test_given_a_readme_of_a_persons_own_then_it_stays(storage) -> None:
    storage.container("rejects").upload_blob(README, b"ours, hands off", overwrite=True)
    assert not storage.write_readme("rejects")
    assert storage.container("rejects").download_blob(README).readall() == b"ours, hands off"


def test_given_other_containers_then_nothing_is_written_there(storage) -> None:
    for name in ("landing-0123456789abcdef0123", "work-t1"):
        storage.container(name)
        assert list(storage.list_blobs(name)) == []


def test_given_a_container_that_is_not_there_then_no_readme_and_no_error(storage) -> None:
    storage.delete_container("rejects")
    assert not storage.write_readme("rejects")


def test_given_the_readmes_then_neither_table_nor_pointer_nor_trigger(storage) -> None:
    storage.container(CURATED_CONTAINER)
    assert Tables(storage).folders() == []
    assert list(pointer_blobs(storage)) == []
    depth = COMPLETE_PATTERN.count("/")
    for container in READMES:
        assert f"{container}/{README}".count("/") < depth
        assert parse_complete_path(f"{container}/{README}") is None


def test_given_a_readme_beside_raw_data_then_it_is_neither_read_nor_missed(storage) -> None:
    with raw_container(storage._connection) as raw:
        raw.upload_blob("shop/tags/2025-03-23/a.ndjson", TAG)
        names = list(raw.list_blob_names())
    assert readme(storage, "raw") == RAW_README
    assert README in names
    assert in_container(names).days.keys() == {("shop", "tags")}
    report = check_raw_data(storage, "raw", ExportsConfig(), slack_days=1)
    assert not report.has_problems, list(report.lines())
    assert [app.skipped for app in report.apps] == [()]
    # Also a mapping that takes whatever there is.
    layout = RawLayout("shop", "tags", RawMapping(path="**", format="ndjson"))
    assert layout.judge(README) == Skip(README, HIDDEN)
    assert layout.judge("shop/README.txt") != Skip("shop/README.txt", HIDDEN)


TAG = b'{"deviceId":"d","timestamp":"2025-03-23T10:00:00Z","key":"k","value":"v"}\n'


@pytest.mark.parametrize("container", TEXTS)
def test_given_a_readme_then_short_and_wide_enough_for_a_browser(container: str) -> None:
    lines = TEXTS[container].splitlines()
    assert lines[0].startswith(f"{container}: ")
    assert len(lines[0]) == len(lines[1])
    assert len(lines) <= 20
    assert all(len(line) <= 110 for line in lines)
    assert "Kept: " in TEXTS[container]
    assert "may delete" in TEXTS[container]


def test_the_readmes_say_what_is_so() -> None:
    rules = (ROOT / "infra/modules/datastorage.bicep").read_text("utf-8")
    for container in ("exports", "rejects"):
        (days,) = re.findall(rf"prefixes: \['{container}/'\], days: (\d+)", rules)
        assert f"older than {days} days" in READMES[container]
    assert "TABLE_HISTORY_DAYS" in READMES["curated"]
    assert "table_history_days" in Settings.model_fields
    kinds = sorted({kind for one in all_types() for kind in one.kinds})
    assert f"Kinds: {', '.join(kinds)}." in RAW_README


def test_given_labels_then_headers_can_hold_them() -> None:
    ref = AttemptRef("event-shop-1", 2)
    for labels in (export_labels("com.example.shop", "Event", ref), task_labels("Event", TaskRef("a", "t"))):
        assert all(name.isidentifier() and value.isascii() for name, value in labels.items())
