"""Chromium of this machine, and what axe-core says of a page."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Path of the browser: of CHROMIUM, else by its usual names."""
    return os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def browsing(path: str) -> Iterator[Any]:
    """A browser that reaches this machine alone."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without a sandbox, since tests may run as root; with a proxy that is not there for all other hosts.
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--proxy-server=127.0.0.1:9", "--proxy-bypass-list=127.0.0.1"],
        )
        try:
            yield browser
        finally:
            browser.close()


def violations(page: Any) -> list[str]:
    """`rule: what it is: element` of all that axe-core finds wrong with a page, best practices included."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['help']}: {node['html'][:150]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
