"""The pages of devhost: links lead somewhere, every test that the checklist names exists."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
PAGES = sorted([TESTS.parent / "README.md", *DOCS.rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_given_a_page_when_read_then_its_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", page.read_text("utf-8")):
        if not target.startswith("https://"):
            there = page.parent / target if target else page
            assert there.exists(), target
            if anchor:
                titles = re.findall(r"^#+ (.+)$", there.read_text("utf-8"), re.MULTILINE)
                assert anchor in {title.lower().replace(" ", "-") for title in titles}, anchor


def test_given_the_checklist_when_read_then_every_test_it_names_exists() -> None:
    text = (DOCS / "real-host.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \|[^|]+\| (.+) \|$", text, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 40
    recorded = "".join(file.read_text("utf-8") for file in (TESTS / "golden" / "calls").glob("*.ndjson"))
    for number, tests in rows:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)
        instances = re.findall(r"`([a-z]-\w+)`", tests.partition("golden ")[2])
        assert named or instances, number
        assert [name for name in instances if name not in recorded] == [], number
        for path, test in named:
            assert f"def {test}(" in (TESTS / path).read_text("utf-8"), f"{path}::{test}"
