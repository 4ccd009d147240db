"""The rules that hold the parts together: who imports whom, and what cold start may import."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHELL = {"activities", "orchestrators", "triggers", "function_app", "durable", "devhost", "samples"}
PURE = {
    "durable",
    "mobexport",
    "mobexport.durable_names",
    "mobexport.contract",
    "mobexport.retry_policy",
    "mobexport.pipeline.states",
    "mobexport.pipeline.poll_policy",
    "mobexport.pipeline.plan",
    "orchestrators",
}
IMPURE_STDLIB = {
    "os",
    "time",
    "random",
    "uuid",
    "logging",
    "secrets",
    "threading",
    "asyncio",
    "requests",
    "io",
}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", _modules("mobexport"), ids=lambda path: str(path.relative_to(ROOT)))
def test_given_the_domain_when_it_imports_then_neither_functions_nor_the_shell(path: Path) -> None:
    found = set(_imports(path))
    assert not {name for name in found if name.startswith(("azure.functions", "azure.durable_functions"))}
    assert not {name for name in found if name.split(".")[0] in SHELL}


@pytest.mark.parametrize(
    ("half", "other"), [("export_api", "mobexport.pipeline"), ("pipeline", "mobexport.export_api")]
)
def test_given_one_half_when_it_imports_then_never_the_other(half: str, other: str) -> None:
    for path in _modules(f"mobexport/{half}"):
        # `mobexport.export_api.` but not the client module `…pipeline.export_api_client`.
        guilty = {name for name in _imports(path) if name == other or name.startswith(f"{other}.")}
        assert not guilty, path


@pytest.mark.parametrize("path", _modules("orchestrators"), ids=lambda path: path.name)
def test_given_an_orchestrator_when_it_imports_then_only_what_is_pure(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            top = node.module.split(".")[0]
            if top in {"mobexport", "durable", "orchestrators"}:
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                assert node.module in PURE or top == "orchestrators" or names <= PURE, node.module
            assert top not in IMPURE_STDLIB, node.module
        elif isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & IMPURE_STDLIB
        elif isinstance(node, ast.Attribute):
            assert node.attr not in {"now", "utcnow", "today", "environ", "uuid4", "monotonic"}, path


def test_given_devhost_when_it_imports_then_nothing_of_the_app() -> None:
    app = (SHELL - {"devhost"}) | {"mobexport"}
    for path in _modules("devhost"):
        assert not {name for name in _imports(path) if name.split(".")[0] in app}, path


def test_given_function_app_when_imported_then_nothing_heavy_comes_with_it() -> None:
    heavy = (
        "duckdb pyarrow pydantic pydantic_settings azure.storage azure.identity azure.data requests"
        " jwt cryptography"
    )
    # The Durable SDK itself imports requests when its optional telemetry is there: compare with its own.
    code = (
        "import sys, azure.functions, azure.durable_functions; before = set(sys.modules);"
        "import function_app;"
        f"print([m for m in {heavy.split()!r} if m in set(sys.modules) - before])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_given_function_app_when_read_then_it_only_registers() -> None:
    lines = (ROOT / "function_app.py").read_text("utf-8").splitlines()
    assert len(lines) <= 40
