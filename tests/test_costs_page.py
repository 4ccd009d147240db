"""The arithmetic of the page on costs agrees with the figures in it."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.scale import QUEUE_FACTOR, TABLE_FACTOR, host_calls

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "costs.md").read_text("utf-8")
ONE_LINE = " ".join(PAGE.split())


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _formula(text: str) -> Callable[..., int]:
    """`9 (10 + p + f)` as a function of its letters."""
    made = re.sub(r"(\d) \(", r"\1 * (", text)
    tree = ast.parse(made, mode="eval")
    allowed = (ast.Expression, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Name, ast.Load, ast.Constant)
    assert all(isinstance(node, allowed) for node in ast.walk(tree)), text
    return lambda **values: eval(compile(tree, "costs.md", "eval"), {}, values)


def test_table_of_steps_is_that_of_the_model() -> None:
    rows = re.findall(r"^\w+ +([ATO]) = (.+?) {2,}(\d) queue, (\d) table", PAGE, re.MULTILINE)
    assert len(rows) == 3
    for p, n in ((0, 0), (5, 1), (78, 2)):
        count = [_formula(text)(p=p, n=n) for _, text, _, _ in rows]
        queue, table = (
            sum(times * int(row[number]) for times, row in zip(count, rows, strict=True)) for number in (2, 3)
        )
        assert (round(QUEUE_FACTOR * queue), round(TABLE_FACTOR * table)) == host_calls(p, n)
    for name, column in (("queue", 2), ("table", 3)):
        assert f"{name}(p, n) = " + " + ".join(f"{row[column]} {row[0]}" for row in rows) in PAGE


def test_calls_to_the_data_account_add_up_on_the_costs_page() -> None:
    (polls, export, tables, blobs) = map(
        int, re.findall(r"(\d+) polls, nobody notified \| (\d+): (\d+) table, (\d+) blob", PAGE)[0]
    )
    assert tables + blobs == export
    (each,) = map(int, re.findall(r"\| each further poll \| (\d+) \|", PAGE))
    (text, five, many, long) = re.findall(
        r"`p` times makes (.+?): (\d+) with 5 polls, (\d+) with (\d+)\.", ONE_LINE
    )[0]
    calls = _formula(text)
    assert calls(p=polls) == export
    assert calls(p=polls + 1) - export == each
    assert (calls(p=5), calls(p=int(long))) == (int(five), int(many))


def test_given_the_timers_when_added_up_then_the_page_says_so() -> None:
    timers = {
        name: (_number(times), int(calls))
        for name, times, calls in re.findall(
            r"\| timer `(\w+)`, .+?, ([\d,]+) times a month \| (\d+) \|", PAGE
        )
    }
    code = (ROOT / "triggers" / "schedules.py").read_text("utf-8")
    schedules = {name: schedule for schedule, name in re.findall(r'timer\("(.+?)"\)\nasync def (\w+)', code)}
    a_month = {"0 */5 * * * *": 12 * 24 * 30, "30 */10 * * * *": 6 * 24 * 30, "0 20 2 * * *": 30}
    assert {name: a_month[schedule] for name, schedule in schedules.items()} == {
        name: times for name, (times, _) in timers.items()
    }
    calls = sum(times * each for times, each in timers.values())
    assert f"= {calls:,} calls a month" in ONE_LINE
    executions = sum(times for times, _ in timers.values())
    assert f"{executions:,} executions a month, each billed for a second at least, are" in ONE_LINE
    assert f"{2 * executions:,} GB-seconds at 2 GB" in ONE_LINE
    formula = [2 * executions, executions, calls]
    (line,) = re.findall(r"^timers\(month\) +=(.+)$", PAGE, re.MULTILINE)
    assert [_number(found) for found in re.findall(r"\d+,\d{3}", line)] == formula


def test_idle_calls_of_a_minute_add_up() -> None:
    (total, timers) = re.findall(
        r"as `host.json` has it: ([\d.]+) calls a minute .+?with the (\d) timers", ONE_LINE
    )[0]
    rows = re.findall(r"^\| (?:queue|table|blob): .+? \| (.+?) \| ([\d.]+) \|$", PAGE, re.MULTILINE)
    each = [float(re.findall(r"[\d.]+", text.partition("; ")[2] or text)[0]) for text, _ in rows]
    assert sum(each) == pytest.approx(float(total), abs=0.1)
    assert 7.4 + 2 * int(timers) == each[2]
    for minute, (_, month) in zip(each, rows, strict=True):
        assert minute * 60 * 24 * 30.4 / 1e6 == pytest.approx(float(month), abs=0.01)
