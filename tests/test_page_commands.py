"""Every command of the README and the tutorial is run, in order, and shows what the page says."""

import re
from pathlib import Path

import pytest
from page_commands import NEEDS_AZURE, OWN_TERMINAL, Block, blocks, read_along, shows

from localdev.azurite import missing

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/tutorial.md", "docs/container-of-your-own.md")


@pytest.mark.azurite
@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
@pytest.mark.parametrize("page", PAGES)
def test_given_a_page_when_its_commands_are_run_then_all_is_as_it_says(page: str, tmp_path: Path) -> None:
    text = (ROOT / page).read_text("utf-8")
    done = read_along(text, tmp_path)
    assert len(done) >= 2
    left = [block for block in blocks(text) if block not in done]
    assert all(block.mark == NEEDS_AZURE for block in left)


@pytest.mark.parametrize("page", PAGES)
def test_given_a_page_then_its_commands_stand_in_blocks_that_are_run(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language not in ("sh", "python"):
            assert not re.search(r"^(make|curl|mobexport|python|\.venv/)\b", block, re.MULTILINE), block


def test_given_a_page_then_its_blocks_with_marks_and_what_they_show() -> None:
    page = "```sh\nmake a\n```\n\n```text\none …\n…\n```\n<!-- needs Azure -->\n```sh\naz b\n```\n"
    assert blocks(page) == [Block("make a\n", "", ("one …",)), Block("az b\n", NEEDS_AZURE)]


@pytest.mark.parametrize(
    ("output", "line", "shown"),
    [("a  b\n", "a b", True), ("a x b", "a … b", True), ("a\nb", "a … b", False), ("a.b", "a*b", False)],
)
def test_given_output_when_compared_then_blanks_and_gaps_are_loose(
    output: str, line: str, shown: bool
) -> None:
    assert shows(output, line) is shown


def test_given_commands_that_fail_or_show_something_else_then_told(tmp_path: Path) -> None:
    for number, (page, why) in enumerate(
        [
            ("```sh\nfalse\n```", "false"),
            ("```sh\necho a\n```\n```text\nb\n```", "the page shows 'b'"),
            ("<!-- later -->\n```sh\ntrue\n```", "no such mark"),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(AssertionError, match=why):
            read_along(page, folder)


def test_given_what_one_block_exports_then_the_next_has_it(tmp_path: Path) -> None:
    page = '```sh\nexport A=1\n```\n```sh\necho "$A"\n```\n```text\n1\n```'
    assert len(read_along(page, tmp_path)) == 2
    assert OWN_TERMINAL not in page
