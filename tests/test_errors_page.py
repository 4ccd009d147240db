"""The page of errors has every code of the code, and no other, with the status that callers get."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from durable_app.http import status_of
from mobexport import errors
from mobexport.errors import MobexportError

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "errors.md").read_text("utf-8")
PACKAGES = ("mobexport", "durable_app", "orchestrators", "activities", "triggers")
ANSWERS, FAILURES = PAGE.split("## Of exports that failed")
CLASSES = [
    one
    for one in vars(errors).values()
    if isinstance(one, type) and issubclass(one, MobexportError) and one is not MobexportError
]


def _codes() -> Iterator[str]:
    """`code = "…"` of a class, `code="…"` of a call, and the first argument of `Outcome.failed(…)`."""
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            found: list[ast.expr | None] = []
            if isinstance(node, ast.ClassDef):
                for line in node.body:
                    target = line.targets[0] if isinstance(line, ast.Assign) else None
                    if isinstance(target, ast.Name) and target.id == "code":
                        found.append(line.value)
            elif isinstance(node, ast.Call):
                found += [item.value for item in node.keywords if item.arg == "code"]
                if isinstance(node.func, ast.Attribute) and node.func.attr == "failed":
                    found += node.args[:1]
            yield from (
                item.value for item in found if isinstance(item, ast.Constant) and isinstance(item.value, str)
            )


def _rows(text: str) -> dict[str, str]:
    """Rows of tables by each code of their first cell."""
    found = re.findall(r"^\| (`[^|]+) \|(.*)\|$", text, re.MULTILINE)
    return {code: rest for cell, rest in found for code in re.findall(r"`(\w+)`", cell)}


def test_the_page_has_every_code_and_no_other() -> None:
    codes = set(_codes())
    assert {"Configuration", "Crashed", "TimedOut", "Transient"} <= codes
    assert _rows(PAGE).keys() == codes, "docs/errors.md: a row for each code"


@pytest.mark.parametrize("error", CLASSES, ids=lambda one: one.__name__)
def test_given_a_class_then_its_row_has_the_status_of_its_answer(error: type[MobexportError]) -> None:
    row = _rows(ANSWERS).get(error.code)
    if row is None:
        assert not issubclass(error, errors.RequestError)
    else:
        assert row.split("|")[0].strip() == str(status_of(error.__new__(error)))


def test_given_a_row_then_it_says_what_it_means_and_what_to_do() -> None:
    for code, rest in _rows(PAGE).items():
        assert all(cell.strip() for cell in rest.split("|")), code


@pytest.mark.parametrize("code", ["TimedOut", "WorkerLost", "Truncated", "ColumnChanged"])
def test_given_an_end_of_an_export_then_it_stands_among_the_failures(code: str) -> None:
    assert code in _rows(FAILURES)
