"""docs/raw-data.md and docs/mappings.md say what the declarations and presets say."""

import re
import tomllib
from pathlib import Path

from mobexport import export_types
from mobexport.config import ExportsConfig
from mobexport.raw_mapping import RawMapping
from scripts.raw_pages import SECTIONS, with_section

DOCS = Path(__file__).parent.parent / "docs"


def _is_kept(name: str) -> bool:
    page = (DOCS / name).read_text("utf-8")
    return with_section(page, SECTIONS[name]()) == page


def test_the_raw_data_page_is_made_of_the_declarations() -> None:
    assert _is_kept("raw-data.md"), "run `make raw-pages`"


def test_the_mappings_page_is_made_of_the_presets() -> None:
    assert _is_kept("mappings.md"), "run `make raw-pages`"


def test_given_the_raw_data_page_when_read_then_every_field_is_there() -> None:
    page = (DOCS / "raw-data.md").read_text("utf-8")
    for declared in export_types.all_types():
        part = page.split(f"## `{declared.kind}`")[1].split("\n## ")[0]
        for leaf in declared.leaves:
            assert f"| `{leaf.name}`{'' if leaf.required else '?'} |" in part


def test_given_the_mappings_page_when_its_toml_is_read_then_valid() -> None:
    page = (DOCS / "mappings.md").read_text("utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(examples) > 10
    for example in examples:
        ExportsConfig.model_validate(tomllib.loads(example))


def test_given_the_mappings_page_when_read_then_every_key_is_explained() -> None:
    page = (DOCS / "mappings.md").read_text("utf-8")
    for name in RawMapping.model_fields:
        assert f"| `{name}` |" in page
