"""The sample through both halves of the app, beside the independent count: all ten types, app by app."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from demo.count_comparison import values_of
from demo.generate import WINDOW, generate
from demo.independent_count import RULES, count_records
from demo.raw_data import Export, in_folder
from localdev.processes import ROOT
from mobexport import export_types
from mobexport.export_api.writer.export_file import RawFile, Selection, write_export
from mobexport.pipeline.process.conversion import convert_file
from mobexport.records.limits import Limits

pytestmark = pytest.mark.long

REAL_DATA = ROOT.parent / "shared" / "data" / "engagement-raw"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "raw"
    generate(folder)
    return folder


def files(root: Path, export: Export) -> list[RawFile]:
    """What the Export API would plan."""
    rules = RULES[export.export_type]
    days = export.window
    if export.feedback and export.feedback.window:
        days = export.feedback.window[0].date(), export.feedback.window[1].date()
    found = []
    for kind in export_types.get(export.export_type).kinds:
        for file in sorted((root / export.app / kind).glob("*/*")):
            day = int(file.parent.name.replace("-", ""))
            first, last = (int(f"{end:%Y%m%d}") for end in days) if days else (0, 99999999)
            if rules.kind != kind or first - 1 <= day <= last + 1:
                name = file.relative_to(root / export.app).as_posix()
                found.append(RawFile(name, partial(chunks, file), kind))
    return found


def chunks(file: Path):
    with file.open("rb") as content:
        while chunk := content.read(100_003):
            yield chunk


def selection(export: Export) -> Selection:
    if not export.feedback:
        return Selection(export.window)
    only: dict[str, Any] = {"campaignType": (export.feedback.campaign_type,)}
    if export.feedback.campaign_ids:
        only["campaignId"] = export.feedback.campaign_ids
    return Selection(export.feedback.window, only)


def judge(root: Path, export: Export, tmp_path: Path) -> None:
    declared = export_types.get(export.export_type)
    (tmp_path / "server").mkdir(parents=True)
    server = write_export(
        declared,
        files(root, export),
        selection=selection(export),
        target=tmp_path / "file.json",
        rejects=tmp_path / "rejects.ndjson",
        workdir=tmp_path / "server",
        limits=Limits(),
    )
    assert server.balances()
    for strict in (False, True):
        count = count_records(
            root, export.app, export.export_type, export.window, strict=strict, feedback=export.feedback
        )
        assert (
            *(server.read, server.rejected, server.outside_window, server.superseded),
            *(server.removed, server.exported, server.elements),
        ) == (
            *(count.read, count.rejected, count.outside_window, count.superseded),
            *(count.removed, count.exported, count.elements),
        )
        done = convert_file(
            declared,
            chunks(tmp_path / "file.json"),
            app=export.app,
            window=export.window,
            snapshot_day=None if declared.historical else WINDOW[0],
            strict=strict,
            stem="s",
            out_dir=tmp_path / f"out-{strict}",
            workdir=tmp_path / f"work-{strict}",
            limits=Limits(),
        )
        assert (done.records, done.rows, done.rejected) == (
            *(count.exported, count.rows, count.conversion_rejects),
        )
        assert values_of(export, [output.path for output in done.outputs]) == count.values


@pytest.mark.parametrize("type_", sorted(RULES))
def test_given_the_sample_then_rows_match_the_independent_count(sample, tmp_path, type_) -> None:
    wanted = [one for one in in_folder(sample).exports(WINDOW) if one.export_type == type_]
    assert wanted
    for number, export in enumerate(wanted):
        judge(sample, export, tmp_path / str(number))


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real data is not beside this checkout")
@pytest.mark.parametrize("type_", sorted(RULES))
def test_given_real_data_then_rows_match_the_independent_count(tmp_path, type_) -> None:
    for number, export in enumerate(in_folder(REAL_DATA).exports()):
        if export.export_type == type_:
            judge(REAL_DATA, export, tmp_path / str(number))
