"""The rules that hold the parts together: who imports whom, and what cold start may import."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHELL = {
    "activities",
    "orchestrators",
    "triggers",
    "function_app",
    "durable_app",
    "devhost",
    "demo",
    "localdev",
}
PURE = {
    "durable_app.blueprint",
    "durable_app.calls",
    "durable_app.sdk",
    "mobexport",
    "mobexport.durable_names",
    "mobexport.contract",
    "mobexport.export_api.messages",
    "mobexport.pipeline.messages",
    "mobexport.wire",
    "mobexport.retry_policy",
    "mobexport.pipeline.registry.states",
    "mobexport.pipeline.jobs.poll_policy",
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
    "pathlib",
    "socket",
    "ssl",
    "http",
    "urllib",
    "subprocess",
    "tempfile",
    "shutil",
    "sqlite3",
    "platform",
    "concurrent",
    "multiprocessing",
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
def test_domain_imports_neither_functions_nor_the_shell(path: Path) -> None:
    found = set(_imports(path))
    assert not {name for name in found if name.startswith(("azure.functions", "azure.durable_functions"))}
    assert not {name for name in found if name.split(".")[0] in SHELL}


@pytest.mark.parametrize(
    ("half", "other"),
    [
        ("export_api", "mobexport.pipeline"),
        ("pipeline", "mobexport.export_api"),
        ("records", "mobexport.pipeline"),
        ("tables", "mobexport.pipeline"),
        ("tables", "mobexport.export_api"),
        ("records", "mobexport.export_api"),
    ],
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
            if top in {"mobexport", "durable_app", "orchestrators"}:
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                assert node.module in PURE or top == "orchestrators" or names <= PURE, node.module
            assert top not in IMPURE_STDLIB, node.module
        elif isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & IMPURE_STDLIB
        elif isinstance(node, ast.Attribute):
            assert node.attr not in {"now", "utcnow", "today", "environ", "uuid4", "monotonic"}, path


_PACKAGES = ("mobexport", "durable_app", "activities", "orchestrators", "triggers")
_TOOLS = ("demo", "localdev", "benchmarks", "scripts")


@pytest.mark.parametrize("path", _modules(*_PACKAGES, *_TOOLS), ids=lambda path: str(path.relative_to(ROOT)))
def test_first_lines_of_modules_are_noun_phrases_or_imperatives(path: Path) -> None:
    header = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert header, "a module says in its first line what it is"
    asks = header.split()[0] in {"What", "How", "Which", "Where", "Who", "Whom", "When", "Whether", "Why"}
    assert not asks, header.splitlines()[0]


# Decorators run when the app is indexed, and types not at all.
REPLAYED = sorted(name for name in PURE - {"durable_app.blueprint", "durable_app.sdk"} if name.count("."))
PURE_MODULES = [ROOT / f"{name.replace('.', '/')}.py" for name in REPLAYED]
# What gives another answer in a replay, or does something each time: the worker's clock, chance, environment,
# output, hashes that differ from process to process.
FORBIDDEN_CALLS = {"open", "print", "input", "eval", "exec", "hash", "id", "globals", "vars", "__import__"}
FORBIDDEN_NAMES = {"log", "_log", "logger", "logging", "random", "environ", "sleep"}


@pytest.mark.parametrize(
    "path",
    [*_modules("orchestrators"), *(path for path in PURE_MODULES if path.exists())],
    ids=lambda path: path.name,
)
def test_replayed_code_has_no_clock_no_chance_no_output_no_logging(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    imported = {name.split(".")[0] for name in _imports(path)}
    assert not imported & (IMPURE_STDLIB - {"io"}), path
    for node in ast.walk(tree):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global), path
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, f"{path}:{node.lineno}"
        if isinstance(node, ast.Name):
            assert node.id not in FORBIDDEN_NAMES, f"{path}:{node.lineno}"
        if isinstance(node, ast.Attribute):
            clocks = {"now", "utcnow", "today", "monotonic", "perf_counter", "time_ns", "sleep"}
            assert node.attr not in clocks | {"environ", "getenv", "uuid4", "urandom"}, path
        # The order of a set differs from process to process.
        if isinstance(node, ast.For | ast.comprehension):
            assert not isinstance(node.iter, ast.Set | ast.SetComp), f"{path}:{node.iter.lineno}"


def _called_with(folders: tuple[str, ...], functions: set[str], position: int) -> set[str]:
    """Names of `durable_names` that these functions are called with at that position."""
    found = set()
    for path in _modules(*folders):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in functions:
                argument = node.args[position]
                assert isinstance(argument, ast.Attribute), f"{path}:{node.lineno}: not one of durable_names"
                found.add(argument.attr)
    return found


def test_no_sub_orchestration_is_also_started_by_clients() -> None:
    # On the real host a sub-orchestration overwrites a running instance of its id without a word.
    shared = _called_with(("durable_app",), {"start_once"}, 1)
    children = _called_with(("durable_app", "orchestrators"), {"call_sub_orchestrator"}, 0)
    assert {"RUN_EXPORT", "PROCESS_EXPORT", "DELIVER_NOTIFICATION", "RUN_BATCH"} <= shared
    assert children == {"RUN_TASK_LANE"}
    assert not shared & children


def test_shell_starts_orchestrations_only_through_start_once() -> None:
    for path in _modules("activities", "triggers", "orchestrators"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            assert not (isinstance(node, ast.Attribute) and node.attr in ("start_new", "start_once")), path


def test_given_devhost_when_it_imports_then_nothing_of_the_app() -> None:
    app = (SHELL - {"devhost"}) | {"mobexport"}
    for path in _modules("devhost"):
        assert not {name for name in _imports(path) if name.split(".")[0] in app}, path


def test_given_devhost_when_it_is_used_then_by_its_public_modules_alone() -> None:
    public = ("devhost.replay", "devhost.azurite", "devhost.errors")
    users = (SHELL - {"devhost"}) | {"mobexport", "benchmarks", "scripts", "tests"}
    for path in _modules(*users):
        used = {name for name in _imports(path) if name.startswith("devhost.")}
        assert all(name.startswith(public) for name in used), path


def test_given_function_app_when_imported_then_nothing_heavy_comes_with_it() -> None:
    heavy = (
        "duckdb pyarrow deltalake arro3 msgspec pydantic pydantic_settings azure.storage azure.identity"
        " azure.data requests jwt cryptography opentelemetry.sdk opentelemetry.exporter azure.monitor"
        " importlib.metadata"
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


def test_importing_the_app_does_not_load_the_record_engine() -> None:
    code = (
        "import sys, function_app, mobexport.services;"
        "print([m for m in ('pyarrow', 'msgspec', 'deltalake', 'arro3', 'duckdb') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_app_modules_log_with_the_ids_of_their_export() -> None:
    for path in _modules("mobexport", "activities", "triggers", "durable_app"):
        if path.relative_to(ROOT).as_posix() != "mobexport/telemetry/logs.py":
            assert "logging" not in set(_imports(path)), f"{path}: use mobexport.telemetry.logs"


def test_given_telemetry_when_it_imports_then_nothing_of_the_domain() -> None:
    allowed = {"mobexport.errors", "mobexport.redact", "mobexport.telemetry"}
    for path in _modules("mobexport/telemetry"):
        ours = {name for name in _imports(path) if name.startswith("mobexport.")}
        assert not {name for name in ours if ".".join(name.split(".")[:2]) not in allowed}, path


def test_given_function_app_when_read_then_it_only_registers() -> None:
    lines = (ROOT / "function_app.py").read_text("utf-8").splitlines()
    assert len(lines) <= 50


def test_names_of_tests_can_be_read_in_a_failure_list() -> None:
    for folder in (ROOT / "tests", ROOT / "devhost" / "tests"):
        for path in folder.rglob("test_*.py"):
            names = re.findall(r"^\s*(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
            assert [name for name in names if len(name) > 70] == [], path
