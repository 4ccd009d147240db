"""The navigation: what the lists of the front page and of each section's page link to, in their order.

So a page stands in the navigation because a person can find it by reading; one that no list names fails the
build, as Sphinx warns of it.
"""

from __future__ import annotations

import posixpath
import re
from typing import Final

from sphinx.application import Sphinx

FRONT: Final = "README"
SECTIONS: Final = ("docs/how-to", "docs/reference", "docs/explanation", "docs/project", "docs/adr/README")
_ITEM: Final = re.compile(r"^- (?:\*\*)?\[[^\]]+\]\(([^)#:]+)\.md\)", re.MULTILINE)


def setup(app: Sphinx) -> None:
    app.connect("source-read", _add)


def _add(_app: Sphinx, docname: str, source: list[str]) -> None:
    if docname in (FRONT, *SECTIONS):
        source[0] += toctree(docname, source[0])


def toctree(docname: str, text: str) -> str:
    """The directive with the pages to which items of the page's lists link first."""
    folder = posixpath.dirname(docname)
    pages = ["/" + posixpath.normpath(posixpath.join(folder, page)) for page in _ITEM.findall(text)]
    return "\n".join(["", "```{toctree}", ":hidden:", "", *pages, "```", ""])
