"""The check of the built site: links, anchors, and nothing from another host."""

from pathlib import Path

import pytest

from scripts.docs_site.check import main, problems

GOOD = '<link href="a.css" rel="stylesheet"><h1 id="top">x</h1><a href="#top">y</a><a href="b.html#z">z</a>'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "other.html").touch()
    site = tmp_path / "site"
    site.mkdir()
    (site / "a.css").write_text("p { background: url(data:image/png;base64,AA) }", "utf-8")
    (site / "a.html").write_text(GOOD, "utf-8")
    (site / "b.html").write_text('<p id="z"><a href="https://cloudevents.io">CloudEvents</a></p>', "utf-8")
    return site


def test_given_a_good_site_then_no_problem(site: Path, capsys) -> None:
    assert list(problems(site)) == []
    assert main([str(site)]) == 0
    assert "2 pages" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("html", "told"),
    [
        ('<a href="c.html">x</a>', "links to c.html: there is no such page"),
        ('<a href="../other.html">x</a>', "there is no such page"),
        ('<a href="b.html#y">x</a>', "links to b.html#y: the page has no such anchor"),
        ('<a href="#y">x</a>', "the page has no such anchor"),
        ('<a href="http://example.com">x</a>', "an address begins with https://"),
        ('<a href="https://localhost/x">x</a>', "an address begins with https://"),
        ('<a href="https://user@example.com">x</a>', "an address begins with https://"),
        ('<a href="javascript:alert(1)">x</a>', "an address begins with https://"),
        ('<script src="https://cdn.example.com/x.js"></script>', "it is on another host"),
        ('<script src="//cdn.example.com/x.js"></script>', "it is on another host"),
        ('<link rel="icon" href="https://example.com/x.png">', "it is on another host"),
        ('<img src="missing.png">', "loads missing.png: there is no such file"),
        ('<img srcset="https://example.com/x.png">', "it is on another host"),
        ('<form action="https://example.com/search">', "it is on another host"),
        ('<p style="background: url(https://example.com/x.png)">', "it is on another host"),
        ('<style>@import "https://fonts.example.com/x.css";</style>', "it is on another host"),
    ],
)
def test_given_a_page_with_a_fault_then_it_is_told(site: Path, html: str, told: str) -> None:
    (site / "a.html").write_text(html, "utf-8")
    (found,) = problems(site)
    assert found.startswith("a.html: ")
    assert told in found


def test_given_a_stylesheet_with_a_font_elsewhere_then_it_is_told(site: Path, capsys) -> None:
    (site / "a.css").write_text("@font-face { src: url('https://fonts.example.com/x.woff2') }", "utf-8")
    assert main([str(site)]) == 1
    assert "a.css: loads https://fonts.example.com/x.woff2" in capsys.readouterr().err


def test_given_no_page_then_told(tmp_path: Path) -> None:
    (found,) = problems(tmp_path)
    assert "no page is here" in found
