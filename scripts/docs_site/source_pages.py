"""Files of the repository that pages link to, shown as pages of the site: `source/{path}.html`.

Without this Sphinx would offer them as downloads; a link to a repository's host would leave the site, and
might show another version.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, Final

from docutils import nodes
from pygments.lexers import find_lexer_class_for_filename
from sphinx import addnodes
from sphinx.application import Sphinx

_FOLDER: Final = "source"


def setup(app: Sphinx) -> None:
    app.connect("env-before-read-docs", lambda _app, env, _names: setattr(env, "source_files", set()))
    # Before Sphinx collects what is to be downloaded (500).
    app.connect("doctree-read", _link, priority=400)
    app.connect("html-collect-pages", _pages)


def _link(app: Sphinx, tree: nodes.document) -> None:
    docname = app.env.docname
    for node in list(tree.findall(addnodes.download_reference)):
        path, _ = app.env.relfn2path(node["reftarget"], docname)
        if not Path(app.srcdir, path).is_file():
            continue  # Sphinx says so.
        app.env.source_files.add(path)
        target = posixpath.relpath(f"{_FOLDER}/{path}.html", posixpath.dirname(docname) or ".")
        node.replace_self(nodes.reference("", "", *node.children, internal=True, refuri=target))


def _pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    for path in sorted(app.env.source_files):
        lexer = find_lexer_class_for_filename(path)
        text = Path(app.srcdir, path).read_text("utf-8")
        code = app.builder.highlighter.highlight_block(
            text, lexer.aliases[0] if lexer else "text", location=path
        )
        body = f"<h1>{escape(path)}</h1>{code}"
        yield f"{_FOLDER}/{path}", {"title": path, "body": body, "parents": []}, "page.html"
