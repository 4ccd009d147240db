"""The runbook names every error code there is."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("mobexport", "orchestrators", "activities", "triggers")


def _codes() -> Iterator[str]:
    """`code = "…"` of a class, `code="…"` of a call, and the first argument of `failure(…)`."""
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
                if isinstance(node.func, ast.Name) and node.func.id == "failure":
                    found += node.args[:1]
            yield from (
                item.value for item in found if isinstance(item, ast.Constant) and isinstance(item.value, str)
            )


def test_given_the_runbook_when_compared_then_every_error_code_stands_in_it() -> None:
    codes = set(_codes())
    assert {"Configuration", "Crashed", "TimedOut", "Transient"} <= codes
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert not {code for code in codes if f"`{code}`" not in page}
