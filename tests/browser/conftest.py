"""A running app with data for the status page, and a browser to look at it."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from chromium import browsing, find_chromium
from scripted_export_api import ScriptedExportApi
from waiting import until

from localdev.app import App
from localdev.processes import free_ports
from mobexport import export_types
from mobexport.settings import read_settings
from mobexport.storage import DataStorage

CONFIG = """
[apps.shop]
notify = ["ops"]
schedule = {{ at = "03:00", types = ["Event", "Session"], late_days = 1 }}

[apps.slow.source]
url = "{slow}"

[targets.ops]
kind = "storage-queue"
queue = "ops-{queue}"
"""
PICTURES = ("exports", "export", "export-phone", "raw", "charts")
"""Those of docs/status-page.md."""
BAD = ['{"bad": 1}', "no json <b>at all</b>"]


@dataclass
class Stage:
    """The app, the Export API of its app `slow`, which does what the test says, and the browser."""

    app: App
    slow: ScriptedExportApi
    browser: Any
    errors: list[str] = field(default_factory=list)
    """Complaints of the browser: scripts that failed, what the policy refused, requests to other hosts."""

    def open(self, path: str = "", **options: Any) -> Any:
        """A new page at that path below `/api/ui`, in a context of its own."""
        context = self.browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda one: self.errors.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda one: self.errors.append(str(one)))
        page.on("request", self._check_host)
        page.goto(f"{self.app.url}/api/ui{path}")
        return page

    def _check_host(self, request: Any) -> None:
        if not request.url.startswith(f"{self.app.url}/"):
            self.errors.append(f"another host: {request.url}")

    def ask(self, **body: str) -> str:
        """Requests an export and waits for its end; its id."""
        id_ = str(self.app.post("/api/exports", body)[1]["id"])

        def ended() -> Any:
            found = self.app.get(f"/api/exports/{id_}")[1]
            waits = any(one["state"] != "Delivered" for one in found["deliveries"].values())
            return found["endedAt"] and not waits

        until(self.app, ended)
        return id_


@pytest.fixture(scope="module")
def stage(azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    path = find_chromium()
    if path is None:
        pytest.skip("no browser: install chromium (apt-get install chromium), or set CHROMIUM=path")
    state: Path = tmp_path_factory.mktemp("browser")
    local = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    raw = DataStorage(read_settings(local)).container("raw")
    for declared in export_types.all_types():
        for day in (*range(19, 24), 26):
            lines = [*declared.samples] if declared.name != "Event" else [*declared.samples * day, *BAD]
            text = "\n".join(lines).replace("2025-03-23", f"2025-03-{day}")
            raw.upload_blob(f"shop/{declared.kind}/2025-03-{day}/a.ndjson", text, overwrite=True)
    with ScriptedExportApi() as slow:
        config = state / "exports.toml"
        config.write_text(CONFIG.format(slow=slow.url, queue=os.getpid()))
        quick = {"POLL_FIRST_SECONDS": "0.3", "POLL_MAX_SECONDS": "0.5"}
        settings = {"EXPORTS_CONFIG": str(config), **quick}
        with (
            App(azurite, state, free_ports(1)[0], host="devhost", **settings) as app,
            browsing(path) as browser,
        ):
            yield Stage(app, slow, browser)


@pytest.fixture(autouse=True)
def _no_complaints(stage: Stage) -> Iterator[None]:
    """Each test ends without an error in the browser, and closes what it opened."""
    stage.errors.clear()
    yield
    for context in stage.browser.contexts:
        with suppress(Exception):
            context.close()
    assert stage.errors == []


@pytest.fixture(scope="module")
def finished(stage: Stage) -> str:
    """Id of an export with rejects and a notification."""
    days = {"startDate": "2025-03-22", "endDate": "2025-03-23"}
    stage.ask(app="shop", exportType="Session", **days)
    stage.ask(app="shop", exportType="Tag")
    return stage.ask(app="shop", exportType="Event", **days)


@pytest.fixture
def shot(request: pytest.FixtureRequest) -> Callable[[Any, str], None]:
    """Keeps a picture of a page for the docs, where SCREENSHOTS names a folder."""

    def keep(page: Any, name: str) -> None:
        if (folder := os.environ.get("SCREENSHOTS")) and name in PICTURES:
            path = Path(folder) / f"status-page-{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            size = {**page.viewport_size, **({"height": 1500} if name == "export" else {})}
            page.screenshot(path=path, full_page=True, clip={"x": 0, "y": 0, **size})
            assert path.stat().st_size < 200_000

    return keep


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever needs the browser; first, so that `-m "not browser"` sees the marks."""
    for item in items:
        if "stage" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
