"""The recipes of CONTRIBUTING.md, followed: the files to touch, and the tests that fail without them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from mobexport import export_types, targets
from mobexport.config import load_config
from mobexport.errors import ConfigError
from mobexport.services import Services
from mobexport.settings import read_settings
from mobexport.storage import DataStorage
from mobexport.wire import Outcome

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
LOCAL = {"AZURE_FUNCTIONS_ENVIRONMENT": "Development"}


@dataclass(frozen=True)
class Row:
    """One file to touch; `test` fails without it."""

    path: str
    test: str | None


def recipes() -> dict[str, list[Row]]:
    """The tables of the page by their headings."""
    found = {}
    for section in PAGE.split("\n### ")[1:]:
        cells = re.findall(r"^\| `([^`]+)` \| .* \| (?:\u2013|`([^`]+)`) \|$", section, re.MULTILINE)
        found[section.splitlines()[0]] = [Row(path, test or None) for path, test in cells]
    return found


RECIPES = recipes()
TYPE, COLUMN, TARGET = "Add an export type", "Add a column", "Add a kind of notification target"
QUERY, SETTING, SOURCE = "Add a query parameter", "Add a setting", "Add a source of export jobs"


def test_given_the_page_when_read_then_its_recipes_are_there() -> None:
    assert list(RECIPES) == [TYPE, COLUMN, TARGET, QUERY, SETTING, SOURCE]
    assert all(rows and rows[0].test is None for rows in RECIPES.values())
    # A row that the pattern does not know would be left out without a word.
    tables = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert len(tables) == sum(len(rows) for rows in RECIPES.values())


def test_every_file_and_folder_that_the_page_names_is_there() -> None:
    for path in re.findall(r"`((?:[\w.-]+/)+[\w.{}-]*|[\w-]+\.(?:py|md|toml))(?:::\w+)?`", PAGE):
        name = path if "{" not in path else str(Path(path).parent)
        by_name = [] if "/" in path else [*(ROOT / "mobexport").rglob(path), *(ROOT / "tests").rglob(path)]
        # The one file that a user writes.
        assert (ROOT / name).exists() or by_name or path == "exports.toml", path


@pytest.mark.parametrize("name", RECIPES)
def test_given_a_recipe_when_read_then_its_tests_are_there(name: str) -> None:
    for row in RECIPES[name]:
        if row.test:
            file, _, test = row.test.partition("::")
            assert f"def {test}(" in (ROOT / file).read_text("utf-8"), test


# --- followed in a copy -----------------------------------------------------------------------------------

Edit = tuple[str, str] | str
"""A text that stands once in the file, and what takes its place; for a new file `""` and all of it.

A text alone is the module that writes the file.
"""

REFUND = '''"""Refund: money given back, grouped by buyer."""

from typing import Final

from mobexport.export_types.model import ExportType, Field, FieldKind, Grouped

REFUND: Final = ExportType(
    name="Refund",
    route="refunds",
    kind="refunds",
    historical=True,
    shape=Grouped(nested="refunds"),
    group=("buyerId",),
    time="paidAt",
    fields=(
        Field("buyerId", FieldKind.ID, required=True),
        Field("sku", FieldKind.TEXT, required=True),
        Field("paidAt", FieldKind.TIME, required=True),
    ),
    samples=('{"buyerId":"b1","sku":"A-17","paidAt":"2025-03-23T14:37:38.184Z"}',),
)
'''
PAGER = '''"""Notifications on a pager."""

from typing import Literal

from mobexport.targets.model import Target


class PagerTarget(Target):
    """`kind = "pager"`: a call."""

    kind: Literal["pager"]
    number: str

    def send(self, event, storage) -> None:
        """Beeps."""
'''
ITEMS = {"buyerId": {}, "refunds": {"type": "array", "items": {"properties": {"sku": {}, "paidAt": {}}}}}
SCHEMA = f'"refundExport": {{"items": {json.dumps({"properties": ITEMS})}}}'

REFUND_FIELDS = """\
        _type("Refund", "refunds", "buyerId", "paidAt", "buyerId id ! !\\nsku text ! !\\npaidAt time ! !"),
"""

REFUND_PART = """\
## `refunds`

Folder `{app}/refunds/{YYYY-MM-DD}/`, export type **Refund**.

| field | value | what it says |
|---|---|---|
| `buyerId` | text |  |
| `sku` | text |  |
| `paidAt` | RFC 3339 time with an offset |  |

```json
{"buyerId":"b1","sku":"A-17","paidAt":"2025-03-23T14:37:38.184Z"}
```

Each record is one entry of `refunds` in the element of its `buyerId`, and one row. \
The day is that of `paidAt` in UTC.

"""

EDITS: dict[str, dict[str, Edit]] = {
    TYPE: {
        "mobexport/export_types/{type}.py": ("", REFUND),
        "mobexport/export_types/__init__.py": (
            "_DECLARED = (",
            "from mobexport.export_types.refund import REFUND\n_DECLARED = (REFUND, ",
        ),
        "docs/data-layout.md": ("| Session | app", "| Refund | app, buyerId, sku, paidAt |\n| Session | app"),
        "docs/raw-data.md": ("## `sessions`", REFUND_PART + "## `sessions`"),
        "docs/export-api.md": (
            "| Session | `",
            "| Refund | `refunds` | `startDate`, `endDate` |\n| Session | `",
        ),
        "docs/http-api.md": "scripts.http_page",
        "tests/data/export-files.schema.json": ('"eventExport"', f'{SCHEMA}, "eventExport"'),
        "tests/export_types/test_declarations.py": (
            '"sessions": ("Session"',
            '"refunds": ("Refund", Parameters.DATES), "sessions": ("Session"',
        ),
        "tests/test_contract.py": ('"jobs", "sessions")', '"jobs", "sessions", "refunds")'),
        "tests/app/test_conformance.py": ("len(paths) == 13", "len(paths) == 14"),
        "tests/support/type_table.py": (
            '        _type("Session"',
            REFUND_FIELDS + '        _type("Session"',
        ),
    },
    COLUMN: {
        "mobexport/export_types/error.py": (
            'Field("extras"',
            'Field("screen", FieldKind.TEXT),\n        Field("extras"',
        ),
        "docs/data-layout.md": ("sessionId, jobId, extras |", "sessionId, jobId, screen, extras |"),
        "docs/raw-data.md": (
            "| `jobId`? | text | the job; absent outside of one |",
            "| `jobId`? | text | the job; absent outside of one |\n| `screen`? | text |  |",
        ),
        "tests/data/export-files.schema.json": ('"errors": {', '"screen": {"type": "string"}, "errors": {'),
        "tests/support/type_table.py": (
            "jobId      id      .  .\n            extras",
            "jobId      id      .  .\n            screen text . .\n            extras",
        ),
    },
    TARGET: {
        "mobexport/targets/{kind}.py": ("", PAGER),
        "mobexport/targets/__init__.py": (
            "_DECLARED: tuple[type[Target], ...] = (",
            "from mobexport.targets.pager import PagerTarget\n_DECLARED = (PagerTarget, ",
        ),
        "docs/settings.md": (
            '| `[targets.name]` `kind = "storage',
            '| `[targets.name]` `kind = "pager"` | `number` |\n| `[targets.name]` `kind = "storage',
        ),
        "exports.sample.toml": (
            "[targets.queue]",
            '[targets.pager]\nkind = "pager"\nnumber = "1"\n\n[targets.queue]',
        ),
        "tests/test_settings.py": ("one of: webhook,", "one of: pager, webhook,"),
    },
    QUERY: {
        "mobexport/pipeline/requests/export_list.py": (
            '"limit", "continuation")',
            '"limit", "continuation", "format")',
        ),
        "mobexport/pipeline/openapi.py": (
            "    return _options(schemas, OPTIONS)",
            '    schemas["format"] = _TEXT\n    return _options(schemas, OPTIONS)',
        ),
        "mobexport/openapi_texts.py": ('    "limit":', '    "format": "Format of the file",\n    "limit":'),
        "docs/http-api.md": "scripts.http_page",
    },
    SETTING: {
        "mobexport/settings.py": (
            "    registry_days:",
            '    nap_days: int = 3\n    """Naps."""\n    registry_days:',
        ),
        "docs/settings.md": ("| `REGISTRY_DAYS`", "| `NAP_DAYS` | `3` | Naps |\n| `REGISTRY_DAYS`"),
    },
    SOURCE: {
        "mobexport/pipeline/jobs/{source}.py": ("", '"""A vendor."""\n\n\nclass VendorClient:\n    pass\n'),
        "mobexport/config.py": ('Literal["export-api"]', 'Literal["export-api", "vendor"]'),
        "mobexport/services.py": (
            '{"export-api": ExportApiClient}',
            '{"export-api": ExportApiClient, "vendor": ExportApiClient}',
        ),
        "docs/settings.md": ("`export-api` (default)", "`vendor`, `export-api` (default)"),
    },
}
NEW = {"{type}": "refund", "{kind}": "pager", "{source}": "vendor"}


def edit(root: Path, path: str, change: Edit) -> None:
    if isinstance(change, str):
        environ = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run([sys.executable, "-m", change], cwd=root, env=environ, check=True, timeout=60)
        return
    file = root / re.sub(r"\{\w+\}", lambda found: NEW[found[0]], path)
    before, after = change
    if before:
        text = file.read_text("utf-8")
        assert text.count(before) == 1, (path, before)
        after = text.replace(before, after)
    else:
        assert not file.exists()
    file.write_text(after, "utf-8")


def failing(root: Path, tests: set[str]) -> set[str]:
    """Those of the tests that fail in that copy."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        *sorted(tests),
    ]
    environ = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return set(re.findall(r"^FAILED ([^\s\[]+)", done.stdout, re.MULTILINE))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """This folder, without what is installed or made by running it."""
    skipped = shutil.ignore_patterns(".*", "node_modules", "devhost", "dist", "build", "__pycache__")
    return Path(shutil.copytree(ROOT, tmp_path / "copy", ignore=skipped))


@pytest.mark.long
@pytest.mark.parametrize("name", RECIPES)
def test_given_a_recipe_then_what_is_forgotten_fails_and_then_nothing(name: str, copy: Path) -> None:
    rows, edits = RECIPES[name], EDITS[name]
    assert [row.path for row in rows] == list(edits)
    tests = {row.test for row in rows if row.test}
    for row in rows:
        if row.test is None:
            edit(copy, row.path, edits[row.path])
    assert failing(copy, tests) == tests
    for row in rows:
        if row.test is not None:
            edit(copy, row.path, edits[row.path])
    assert failing(copy, tests) == set()


# --- a type and a target, through the seams that the recipes name -----------------------------------------


def test_the_recipe_of_a_type_is_what_the_eleventh_type_stands_for() -> None:
    code = [row.path for row in RECIPES[TYPE] if row.path.startswith("mobexport/")]
    assert code == ["mobexport/export_types/{type}.py", "mobexport/export_types/__init__.py"]
    eleventh = (ROOT / "tests" / "export_types" / "test_eleventh_type.py").read_text("utf-8")
    assert "export_types.registered(PURCHASE)" in eleventh
    # `registered` is the entry in `_DECLARED` for a while; each module beside the registry is in it.
    modules = {path.stem for path in (ROOT / "mobexport/export_types").glob("*.py")} - {"__init__", "model"}
    assert modules == {declared.name.lower() for declared in export_types.all_types()}


class FileTarget(targets.Target):
    """`kind = "file"`: a line in a file."""

    kind: Literal["file"]
    path: str

    def send(self, event: Mapping[str, Any], storage: DataStorage) -> None:
        """One line."""
        with Path(self.path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")


def test_the_code_of_a_target_is_a_module_and_its_entry() -> None:
    code = [row.path for row in RECIPES[TARGET] if row.path.startswith("mobexport/")]
    assert code == ["mobexport/targets/{kind}.py", "mobexport/targets/__init__.py"]
    modules = {path.stem for path in (ROOT / "mobexport/targets").glob("*.py")} - {"__init__", "model"}
    assert modules == {declared.__module__.rpartition(".")[2] for declared in targets.kinds().values()}


def test_given_a_new_kind_of_target_then_it_is_told_of_ended_exports(azurite, tmp_path: Path) -> None:
    told = tmp_path / "told.ndjson"
    app = f"told-{tmp_path.parent.name}-{tmp_path.name}"[:60]
    config = tmp_path / "exports.toml"
    config.write_text(
        f'[apps."{app}"]\nnotify = ["log"]\n[targets.log]\nkind = "file"\npath = "{told}"\n', "utf-8"
    )
    with pytest.raises(ConfigError, match=r"targets\.log: kind must be one of"):
        load_config(config, required=True)
    with targets.registered(FileTarget):
        settings = read_settings({**LOCAL, "DATA_STORAGE": azurite.connection_string})
        services = Services(settings, load_config(config, required=True), DataStorage(settings))
        row, _ = services.request_export({"exportType": "Tag", "app": app})
        row = services.finisher.finish(row.ref, Outcome.failed("Gone", "no such job", kind="remote"))
        assert services.deliverer.send(row.ref, "log", tries=1, attempts=3) == {"state": "Delivered"}
        assert services.deliverer.send(row.ref, "log", tries=2, attempts=3) == {"state": "Delivered"}
    (event,) = map(json.loads, told.read_text("utf-8").splitlines())
    assert (event["subject"], event["data"]["error"]["code"]) == (row.id, "Gone")
    assert "file" not in targets.kinds()
