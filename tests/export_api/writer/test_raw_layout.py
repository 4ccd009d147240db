"""Where raw files lie: patterns, days, and the reasons for what is not read."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hostile import cases

from mobexport import export_types
from mobexport.export_api.writer.raw_layout import HIDDEN, Found, RawLayout, Skip, grouped
from mobexport.export_api.writer.raw_store import Plan, plan_files
from mobexport.raw_mapping import RawMapping
from mobexport.storage import RawBlob

DAY = date(2026, 11, 25)


def judged(name: str, path: str = "", **more: object) -> Found | Skip:
    mapping = RawMapping.model_validate({"path": path, **more}) if path or more else None
    return RawLayout("shop", "events", mapping).judge(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    cases(
        ("lines", "shop/events/2026-11-25/a.ndjson", None),
        ("an ending in upper case", "shop/events/2026-11-25/a.NDJSON.GZ", None),
        ("zstd", "shop/events/2026-11-25/h/10/a.ndjson.zst", None),
        ("Parquet", "shop/events/2026-11-25/a.snappy.Parquet", None),
        ("jsonl", "shop/events/2026-11-25/c.jsonl", "needs a mapping or the ending `.ndjson`"),
        ("no ending", "shop/events/2026-11-25/part-0", "needs a mapping or the ending `.ndjson`"),
        ("hidden", "shop/events/2026-11-25/._a.ndjson", HIDDEN),
        ("temporary", "shop/events/2026-11-25/_temporary/0/a.ndjson", HIDDEN),
        ("no day at all", "shop/events/a.ndjson", "lies in no folder of a day, such as `events/2026-11-25/`"),
        (
            "digits",
            "shop/events/20261125/a.ndjson",
            (
                "is no day; did you mean `2026-11-25`? Or a mapping with"
                ' path = "{app}/{kind}/{date:%Y%m%d}/**"'
            ),
        ),
        (
            "hive",
            "shop/events/dt=2026-11-25/a.ndjson",
            'needs a mapping with path = "{app}/{kind}/dt={date:%Y-%m-%d}/**"',
        ),
        (
            "year, month, day",
            "shop/events/year=2026/month=11/day=25/a.ndjson",
            ('needs a mapping with path = "{app}/{kind}/year={date:%Y}/month={date:%m}/day={date:%d}/**"'),
        ),
        ("no day of the calendar", "shop/events/2026-02-30/a.ndjson", "its folder is no day of the calendar"),
    ),
)
def test_given_a_name_without_a_mapping_when_judged_then_why(name, reason) -> None:
    verdict = judged(name)
    assert verdict == (Found(verdict.day) if reason is None else Skip(name, reason))
    assert reason or verdict.day == DAY


@pytest.mark.parametrize(
    ("path", "name", "prefix"),
    cases(
        (
            "slashes",
            "{app}/{kind}/{date:%Y/%m/%d}/*",
            "shop/events/2026/11/25/a.gz",
            "shop/events/2026/11/25/",
        ),
        ("hive", "x/dt={date:%Y-%m-%d}/**", "x/dt=2026-11-25/hour=10/a", "x/dt=2026-11-25/"),
        (
            "parts and an hour",
            "{kind}/year={date:%Y}/month={date:%m}/day={date:%d}/h={date:%H}/*.json",
            "events/year=2026/month=11/day=25/h=09/a.json",
            "events/year=2026/month=11/day=25/h=",
        ),
        (
            "Event Hubs Capture",
            "ns/hub/*/{date:%Y/%m/%d/%H/%M/%S}.avro",
            "ns/hub/0/2026/11/25/10/00/30.avro",
            "ns/hub/",
        ),
        ("in the file's name", "**/{date:%Y%m%d}-*.json", "a/b/20261125-1.json", ""),
        ("no zeros", "{date:%Y-%-m-%-d}/**", "2026-11-25/a", "2026-11-25/"),
    ),
)
def test_given_a_pattern_when_a_day_is_looked_for_then_its_names(path, name, prefix) -> None:
    layout = RawLayout("shop", "events", RawMapping.model_validate({"path": path, "format": "json"}))
    assert layout.judge(name) == Found(DAY)
    assert layout.prefixes((DAY, DAY)) == [prefix]
    assert isinstance(layout.judge(name.replace("2026", "x")), Skip)


def test_given_a_hidden_name_in_the_pattern_when_judged_then_read() -> None:
    assert judged("_logs/2026-11-25/a.json", "_logs/{date:%Y-%m-%d}/*", format="json") == Found(DAY)
    assert judged("_logs/2026-11-25/_a.json", "_logs/{date:%Y-%m-%d}/*", format="json") == Skip(
        "_logs/2026-11-25/_a.json", HIDDEN
    )


class Names:
    """A listing of names."""

    def __init__(self, *names: str) -> None:
        self.names = sorted(names)

    def list_blobs(self, container: str, prefix: str = "") -> Iterator[RawBlob]:
        return (RawBlob(name, "e", 1) for name in self.names if name.startswith(prefix))

    def list_folders(self, container: str, prefix: str = "") -> Iterator[str]:
        found = (name.removeprefix(prefix).partition("/") for name in self.names if name.startswith(prefix))
        return iter(sorted({name + slash for name, slash, _ in found}))


def planned(*names: str, days: int = 1, mapping: RawMapping | None = None) -> Plan:
    mappings = {"events": mapping} if mapping else {}
    return plan_files(Names(*names), "raw", "shop", export_types.get("Event"), (DAY, DAY), days, mappings)


def test_given_other_folders_when_planned_then_each_is_told() -> None:
    plan = planned(
        "shop/events/2026-11-25/a.ndjson",
        "shop/events/20261125/b.ndjson",
        "shop/event/2026-11-25/c.ndjson",
        "shop/Events/2026-11-25/d.ndjson",
        "shop/sessions/2026-11-25/e.ndjson",
        "shop/events/2026-11-25/f.jsonl",
        "shop/events/2026-11-25/g.jsonl",
    )
    assert [file.blob.name for file in plan.files] == ["shop/events/2026-11-25/a.ndjson"]
    assert [(skip.name, skip.files) for skip in plan.skipped] == [
        ("shop/Events/", 0),
        ("shop/event/", 0),
        ("shop/events/2026-11-25/f.jsonl", 2),
        ("shop/events/20261125/", 0),
    ]
    assert plan.skipped[0].reason == "is no kind; did you mean `events`?"
    assert plan.told()["ignoredFiles"] == 2
    assert Plan.from_json(plan.to_json(), "raw").told() == plan.told()


def test_given_slack_when_planned_then_so_many_days_are_looked_at() -> None:
    names = [f"shop/events/2026-11-{day}/a.ndjson" for day in range(20, 31)]
    for days in (0, 1, 3):
        plan = planned(*names, days=days)
        assert len(plan.files) == 2 * days + 1
        assert plan.told()["daysRead"] == [f"2026-11-{25 - days}", f"2026-11-{25 + days}"]
    late = RawMapping.model_validate({"path": "shop/events/{date:%Y-%m-%d}/*", "slack_days": 4})
    assert len(planned(*names, mapping=late).files) == 9


def test_given_days_late_in_a_pattern_when_planned_then_the_window() -> None:
    mapping = RawMapping.model_validate({"path": "hub/*/{date:%Y/%m/%d}/*.avro"})
    plan = planned("hub/0/2026/11/20/a.avro", "hub/0/2026/11/25/a.avro", "hub/x.txt", mapping=mapping)
    assert [file.blob.name for file in plan.files] == ["hub/0/2026/11/25/a.avro"]
    assert [skip.reason for skip in plan.skipped] == ["does not fit the path hub/*/{date:%Y/%m/%d}/*.avro"]


def test_given_many_reasons_when_grouped_then_bounded() -> None:
    found = grouped(Skip("n" * 1024, f"reason {n}") for n in range(50))
    assert (len(found), found[-1].files, max(len(one.name) for one in found)) == (10, 41, 120)


UGLY = Path(__file__).parents[4] / "shared" / "data" / "ugly" / "11-other-names-unseen" / "raw"


@pytest.mark.skipif(not UGLY.is_dir(), reason="no ../shared/data/ugly beside the project")
def test_given_names_of_real_programs_when_judged_then_none_goes_unsaid() -> None:
    for app in sorted(UGLY.iterdir()):
        for path in (one for one in app.rglob("*") if one.is_file()):
            name = path.relative_to(UGLY).as_posix()
            verdict = RawLayout(app.name, "events").judge(name)
            assert isinstance(verdict, Found) or verdict.reason, name


def test_given_days_whose_names_begin_alike_when_planned_then_once() -> None:
    mapping = RawMapping.model_validate({"path": "{date:%Y-%-m-%-d}*", "format": "ndjson"})
    names = [f"2026-11-{day}.log" for day in (1, 2, 3, 11, 25)]
    plan = plan_files(
        Names(*names), "raw", "shop", export_types.get("Event"), (date(2026, 11, 2),) * 2, 1,
        {"events": mapping},
    )  # fmt: skip
    assert [file.blob.name for file in plan.files] == names[:3]
