"""The demo's comparison of counts: what agrees passes, and every number that is off is named."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from demo.count_comparison import Result, compared, problems, table
from demo.independent_count import Count
from demo.raw_data import Export


def agreeing() -> Result:
    count = Count(read=10, rejected=1, outside_window=2, exported=7, conversion_rejects=3, elements=5)
    count.values = Counter({("d", "open", 1): 4})
    server = {
        "read": 10,
        "rejected": 1,
        "outsideWindow": 2,
        "superseded": 0,
        "removed": 0,
        "exported": 7,
        "elements": 5,
    }
    return Result(
        export=Export("app", "Event", None, strict=True),
        shown={},
        server=server,
        manifest={"counts": {"records": 7, "rows": 4, "rejected": 3}},
        raw_rejects=[{}],
        rejects=[{}, {}, {}],
        file=Path("Event-app.json"),
        parquet=[],
        count=count,
        values=Counter({("d", "open", 1): 4}),
    )


def test_given_numbers_that_agree_when_checked_then_there_is_no_problem() -> None:
    assert problems(agreeing()) == []
    server, pipeline = table([agreeing()])
    assert server[1][-1] == pipeline[1][-1] == "same"
    assert len(compared(agreeing())) == 14


@pytest.mark.parametrize(
    "name", ["read", "rejected", "outsideWindow", "superseded", "removed", "exported", "elements"]
)
def test_given_a_server_number_that_is_off_when_checked_then_it_is_told(name: str) -> None:
    result = agreeing()
    result.server = {**result.server, name: result.server[name] + 1}
    found = problems(result)
    assert found
    assert all(problem.startswith("app Event: ") for problem in found)
    assert any("is not" in problem for problem in found) is (name != "elements")
    assert table([result])[0][1][-1] == "differs"


@pytest.mark.parametrize("name", ["records", "rows", "rejected"])
def test_given_a_pipeline_number_that_is_off_when_checked_then_it_is_told(name: str) -> None:
    result = agreeing()
    counts: dict[str, Any] = json.loads(json.dumps(result.manifest["counts"]))
    result.manifest = {"counts": counts | {name: counts[name] + 1}}
    assert any("is not" in problem for problem in problems(result))


def test_given_files_with_fewer_rows_or_rejects_then_the_check_says_so() -> None:
    result = agreeing()
    result.values = Counter({("d", "open", 1): 3})
    result.rejects = []
    assert [problem.split(":")[1].strip() for problem in problems(result)] == [
        "lines of conversion rejects",
        "rows in the Parquet files",
        "rows with other values",
    ]


def test_given_values_that_are_mixed_up_when_checked_then_it_is_told() -> None:
    result = agreeing()
    result.values = Counter({("d", "open", 1): 3, ("d", "open", 2): 1})
    assert ["rows with other values: the app says 2" in problem for problem in problems(result)] == [True]
