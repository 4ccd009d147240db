"""A small repository built as the site is: navigation from lists, code as pages, strictness, search."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.docs_site.check import problems

pytest.importorskip("sphinx", reason="`make docs` installs it")

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.long
PAGES = {
    "README.md": "# Front\n\nWords.\n\n- [How-to guides](docs/how-to.md): all of them\n",
    "docs/how-to.md": "# How-to guides\n\n- [Second](second.md)\n- [First](first.md): with words\n",
    "docs/first.md": "# First page\n\n## A part\n\nA quokka. See [the code](../code/a.py).\n",
    "docs/second.md": "# Second page\n\nSee [a part](first.md#a-part).\n",
    "code/a.py": "VALUE = '<b>'\n",
}


def built(folder: Path, **changed: str) -> tuple[Path, str]:
    """The site, and what the build complained of."""
    names = {name.rpartition("/")[2].partition(".")[0]: name for name in PAGES}
    for name, text in {**PAGES, **{names[key]: text for key, text in changed.items()}}.items():
        (folder / "repository" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "repository" / name).write_text(text, "utf-8")
    command = [
        sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "-c", "scripts/docs_site",
        "-d", str(folder / "doctrees"), str(folder / "repository"), str(folder / "site"),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode == 0) == (done.stderr == ""), done.stderr
    return folder / "site", done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site, complaints = built(tmp_path_factory.mktemp("docs"))
    assert complaints == ""
    return site


def test_given_lists_of_pages_then_the_navigation_is_theirs(site: Path) -> None:
    page = (site / "docs" / "first.html").read_text("utf-8")
    section = page.split('aria-label="Section Navigation"')[1]
    assert re.findall(r">\s*(First|Second) page\s*<", section)[:2] == ["Second", "First"]
    assert 'url=README.html"' in (site / "index.html").read_text("utf-8")


def test_given_a_link_to_code_then_a_page_shows_it(site: Path) -> None:
    assert 'href="../source/code/a.py.html"' in (site / "docs" / "first.html").read_text("utf-8")
    assert "&lt;b&gt;" in (site / "source" / "code" / "a.py.html").read_text("utf-8")
    assert not (site / "_downloads").exists()


def test_given_the_built_pages_then_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    assert list(problems(site)) == []


@pytest.mark.parametrize(
    ("page", "text", "told"),
    [
        ("second", "# Second\n\n[x](third.md)\n", "cross-reference target not found: 'third.md'"),
        ("second", "# Second\n\n[x](first.md#b-part)\n", "local id not found in doc 'docs/first': 'b-part'"),
        ("second", "# Second\n\n[x](../code/b.py)\n", "cross-reference target not found: '../code/b.py'"),
        ("second", "# Second\n\n#### Too deep\n", "Non-consecutive header level"),
        ("how-to", "# How-to guides\n\n- [First](first.md)\n", "document isn't included in any toctree"),
    ],
)
def test_given_a_fault_of_a_page_then_the_build_fails(
    tmp_path: Path, page: str, text: str, told: str
) -> None:
    assert told in built(tmp_path, **{page: text})[1]


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium: apt-get install chromium")
def test_given_no_network_and_no_server_then_the_search_finds(site: Path, tmp_path: Path) -> None:
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
        "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND",
        "--virtual-time-budget=20000", "--dump-dom",
    ]  # fmt: skip
    address = (site / "search.html").as_uri()
    for word, found in (("quokka", {"docs/first.html"}), ("wombat", set())):
        done = subprocess.run(
            [*command, f"{address}?q={word}"], capture_output=True, text=True, timeout=120, check=True
        )
        results = done.stdout.split('id="search-results"')[1].split("</main>")[0]
        assert set(re.findall(r'href="(docs/[^"?#]+)', results)) == found
