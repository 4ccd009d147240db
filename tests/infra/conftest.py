"""The templates as the official compiler sees them, and the app as the host indexes it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from bicep_compiler import EVENT_GRID, MAIN, ROOT, Bicep, find_bicep

INDEX = """
import json, function_app
print(json.dumps([
    {"name": f.get_function_name(), "bindings": [json.loads(b) for b in f.get_raw_bindings()]}
    for f in function_app.app.get_functions()
]))
"""


@pytest.fixture(scope="session")
def bicep(tmp_path_factory: pytest.TempPathFactory) -> Bicep:
    """The official compiler, or a skip that says how to get it."""
    path = find_bicep()
    if path is None:
        pytest.skip("the Bicep compiler is not installed: `az bicep install`, or set BICEP=path")
    return Bicep(path, tmp_path_factory.mktemp("bicep"))


@pytest.fixture(scope="session", params=["dev", "prod"])
def deployed(bicep: Bicep, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The snapshot of each tier of main.bicepparam."""
    return bicep.snapshot("main.bicepparam", {**MAIN, "MOBEXPORT_TIER": request.param})


@pytest.fixture(scope="session")
def subscription(bicep: Bicep) -> dict[str, Any]:
    """The properties of the one Event Grid subscription."""
    (resource,) = bicep.snapshot("eventgrid.bicepparam", EVENT_GRID)["predictedResources"]
    assert resource["type"] == "Microsoft.EventGrid/systemTopics/eventSubscriptions"
    return resource["properties"]


@pytest.fixture(scope="session")
def indexed() -> Callable[[str], list[dict[str, Any]]]:
    """The functions of the app as `AZURE_FUNCTIONS_ENVIRONMENT` makes them, in a process of their own."""

    def index(environment: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, "-c", INDEX],
            cwd=ROOT,
            env={**os.environ, "AZURE_FUNCTIONS_ENVIRONMENT": environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    return index


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The compiler takes seconds a call, so whatever needs it is slow; `make infra` runs it all."""
    for item in items:
        if "bicep" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
