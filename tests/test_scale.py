"""The pages on costs and scale show what the model computes, and the model fits what was measured."""

from pathlib import Path

from benchmarks.scale import MAX_EXPORT_GB, QUEUE_FACTOR, TABLE_FACTOR, Export, host_calls, table
from mobexport.export_api.writer.blocks import TARGET_BLOCK_BYTES
from mobexport.export_api.writer.scale_out import MAX_BUCKETS
from mobexport.settings import Settings

DOCS = Path(__file__).parent.parent / "docs"


def test_scale_page_has_the_table_of_the_model() -> None:
    assert table() in (DOCS / "scale.md").read_text("utf-8"), table()


def test_costs_page_has_the_numbers_of_the_model() -> None:
    page = " ".join((DOCS / "costs.md").read_text("utf-8").split())
    queue, tables = host_calls(5, 1)
    assert f"{queue} queue and {tables} table calls" in page
    assert "{:,} and {:,}".format(*host_calls(78, 1)) in page
    more = host_calls(6, 1)
    assert f"{more[0] - queue} queue and {more[1] - tables} table" in page


def test_factors_are_those_of_the_real_host() -> None:
    assert 239 <= QUEUE_FACTOR * 102 <= 254
    assert round(TABLE_FACTOR * 71) == 50


def test_model_takes_its_limits_from_the_code() -> None:
    assert round(MAX_EXPORT_GB * 1e9) == 50_000 * TARGET_BLOCK_BYTES
    # 1 GB of raw data: 8 slices, 8 buckets, 7 parts.
    assert Export(1, 4).steps == 23
    assert Export(100, 4).steps == 782 + MAX_BUCKETS + 641
    for name in ("export_slice_mb", "convert_part_mb", "export_small_mb"):
        assert Settings.model_fields[name].default == 128


def test_more_lanes_are_faster_up_to_the_look() -> None:
    slow, fast, most = (Export(50, lanes).minutes for lanes in (1, 4, 64))
    assert slow == 50 * 152 / 60
    assert slow > fast > most > Export(50, 64).look_minutes
