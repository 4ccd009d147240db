"""Docs that can be checked: links lead somewhere, columns and commands are the real ones."""

import json
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic.alias_generators import to_camel

from mobexport import export_types
from mobexport.config import ExportsConfig
from mobexport.contract import PARAMETERS
from mobexport.pipeline.requests.request_parsing import parse_request
from mobexport.settings import read_settings

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_given_a_page_when_read_then_its_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_every_decision_has_its_number_and_its_line_in_the_index() -> None:
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text("utf-8")
    pages = sorted(folder.glob("0*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    lines = [f"- [{page.read_text('utf-8').splitlines()[0].lstrip('# ')}]({page.name})" for page in pages]
    assert re.findall(r"^- .*$", index, re.MULTILINE) == lines


def test_data_layout_page_lists_the_declared_columns() -> None:
    text = (ROOT / "docs" / "data-layout.md").read_text("utf-8")
    for declared in export_types.all_types():
        columns = ", ".join(["app", *(field.name for field in declared.columns)])
        assert f"| {declared.name} | {columns} |" in text


def test_export_api_page_lists_the_declared_routes() -> None:
    text = (ROOT / "docs" / "export-api.md").read_text("utf-8")
    common = set(PARAMETERS[export_types.Parameters.SNAPSHOT].model_fields)
    for declared in export_types.all_types():
        for route in declared.routes:
            own = [to_camel(name) for name in PARAMETERS[route.parameters].model_fields if name not in common]
            row = rf"\| {declared.name} \| `{route.name}`[^|]*\| {', '.join(f'`{name}`' for name in own)} ?\|"
            assert re.search(row, text), route.name


def test_given_the_readme_when_read_then_its_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z-]+)", (ROOT / "README.md").read_text("utf-8")))
    assert named <= targets


def test_given_the_readme_when_read_then_its_first_screen_is_short() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert next(n for n, line in enumerate(lines) if line.startswith("| **unproven**")) < 50


@pytest.mark.parametrize(("page", "rows"), [("delivery-semantics", 22), ("change-an-orchestrator", 36)])
def test_given_a_table_of_promises_then_the_tests_it_names_exist(page: str, rows: int) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    held = [row for row in re.findall(r"^\|.*\|$", text, re.MULTILINE) if "`tests/" in row]
    assert len(held) >= rows
    named = re.findall(r"`(tests/[^`]+\.py)::(\w+)`", text)
    assert len(named) == text.count("`tests/") - text.count(
        "`tests/orchestrators/test_recorded_histories.py`"
    )
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text("utf-8"), test


@pytest.mark.parametrize("page", ["README.md", "docs/deploy.md"])
def test_the_first_request_of_a_page_is_an_export_request(page: str) -> None:
    (body,) = re.findall(r"-d '(\{.*\})'", (ROOT / page).read_text("utf-8"))
    config = ExportsConfig.model_validate({"apps": {"com.example.shop": {}}})
    settings = read_settings({"DATA_STORAGE": "UseDevelopmentStorage=true"})
    parsed = parse_request(json.loads(body), config, settings, datetime(2026, 11, 24, tzinfo=UTC))
    assert parsed.request.app == "com.example.shop"


@pytest.mark.parametrize("page", ["schedules", "notifications", "another-export-api"])
def test_given_a_guide_when_its_toml_is_read_then_valid(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert examples
    for example in examples:
        ExportsConfig.model_validate(tomllib.loads(example))


def test_the_first_upload_has_the_path_of_raw_data() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    (path,) = re.findall(r"files below `./raw`, as `([^`]+)`", text)
    kinds = {declared.kind for declared in export_types.all_types()}
    _, kind, day, name = path.split("/")
    assert kind in kinds
    assert datetime.fromisoformat(day)
    assert name.endswith(".ndjson")
