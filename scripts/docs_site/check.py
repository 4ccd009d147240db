"""Check the built site: `python -m scripts.docs_site.check build/site`.

Internal links and anchors lead somewhere, external links have a good form (nobody is asked), and a page loads
nothing from another host: it works offline, and tells nobody who reads it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_LOADS: Final = ("action", "data", "poster", "src", "srcset")
_CSS: Final = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")
_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")
_INLINE: Final = ("data:", "#")


class _Page(HTMLParser):
    """Ids of a page, its links, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self._css = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if "href" in given:
            (self.links if tag == "a" else self.loads).add(given["href"])
        self.loads |= {given[name] for name in _LOADS if name in given}
        self.loads |= set(_of_css(given.get("style", "")))
        self._css = tag == "style"

    def handle_data(self, data: str) -> None:
        if self._css:
            self.loads |= set(_of_css(data))

    def handle_endtag(self, tag: str) -> None:
        self._css = self._css and tag != "style"


def problems(site: Path) -> Iterator[str]:
    """Everything that is wrong, a line each."""
    pages = {path: _Page(path.read_text("utf-8")) for path in _pages(site)}
    if not pages:
        yield f"{site}: no page is here"
    for path, page in pages.items():
        where = path.relative_to(site)
        for link in sorted(page.loads):
            if (why := _load(site, path, link)) is not None:
                yield f"{where}: loads {link}: {why}"
        for link in sorted(page.links):
            if (why := _link(site, path, link, pages)) is not None:
                yield f"{where}: links to {link}: {why}"
    for path in sorted(site.rglob("*.css")):
        for link in sorted(set(_of_css(path.read_text("utf-8")))):
            if (why := _load(site, path, link)) is not None:
                yield f"{path.relative_to(site)}: loads {link}: {why}"


def _pages(site: Path) -> list[Path]:
    """Its pages; what themes leave among the static files is none."""
    return [path for path in sorted(site.rglob("*.html")) if path.relative_to(site).parts[0] != "_static"]


def _of_css(text: str) -> Iterator[str]:
    return (one or other for one, other in _CSS.findall(text))


def _load(site: Path, path: Path, link: str) -> str | None:
    if link.startswith(_INLINE):
        return None
    if urlsplit(link).scheme or link.startswith("//"):
        return "it is on another host"
    return None if _file(site, path, link) else "there is no such file"


def _link(site: Path, path: Path, link: str, pages: dict[Path, _Page]) -> str | None:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        good = parts.scheme == "https" and _HOST.fullmatch(parts.netloc) and not re.search(r"[\s<>\"]", link)
        return None if good else "an address begins with https:// and a host's name"
    target = _file(site, path, link)
    if target is None:
        return "there is no such page"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].ids:
        return "the page has no such anchor"
    return None


def _file(site: Path, path: Path, link: str) -> Path | None:
    """The file that a relative address means, if it is one of the site."""
    name = unquote(urlsplit(link).path)
    found = (path.parent / name).resolve() if name else path.resolve()
    return found if found.is_file() and found.is_relative_to(site.resolve()) else None


def main(arguments: list[str]) -> int:
    site = Path(arguments[0]).resolve()
    found = list(problems(site))
    for line in found:
        print(line, file=sys.stderr)
    if not found:
        print(f"{len(_pages(site))} pages are in {site}: open README.html")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
