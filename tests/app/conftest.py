"""The Export API as its callers meet it: the app on devhost with Entra tokens, raw data of every type."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from entra_tenant import CLIENT, EntraTenant

from localdev.app import App
from localdev.processes import free_ports
from mobexport import export_types
from mobexport.settings import read_settings
from mobexport.storage import DataStorage

EXPORT_API_APP = "conformance"
_CONFIG = f"""
[apps.{EXPORT_API_APP}]
[apps.other]

[callers]
"{CLIENT}" = ["{EXPORT_API_APP}"]
"""


@dataclass(frozen=True)
class ExportApi:
    """A running Export API, a tenant to make tokens with, and a container to export to."""

    app: App
    tenant: EntraTenant
    storage: DataStorage
    landing: str
    """Name of a container."""

    @property
    def base(self) -> str:
        """What a client's base URI is, up to `/subscriptions`."""
        return f"{self.app.url}/api"

    @property
    def container_url(self) -> str:
        """That container with a SAS that may write."""
        return self.storage.container_write_url(self.landing, timedelta(hours=1))


@pytest.fixture(scope="module")
def export_api(azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExportApi]:
    state: Path = tmp_path_factory.mktemp("export-api")
    config = state / "exports.toml"
    config.write_text(_CONFIG)
    storage = DataStorage(
        read_settings(
            {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
        )
    )
    for declared in export_types.all_types():
        name = f"{EXPORT_API_APP}/{declared.kind}/2025-03-23/samples.ndjson"
        storage.container("raw").upload_blob(name, "\n".join(declared.samples), overwrite=True)
    landing = f"landing-{state.name.replace('_', '-')}"
    storage.container(landing)
    settings = {"EXPORTS_CONFIG": str(config), "EXPORT_API_MAX_TASKS": "5000"}
    with (
        EntraTenant() as tenant,
        App(azurite, state, free_ports(1)[0], host="devhost", **settings, **tenant.settings) as app,
    ):
        yield ExportApi(app, tenant, storage, landing)


@pytest.fixture(scope="session")
def export_files_schema() -> dict:
    """What JSON files of each type must look like; a copy of the contract's."""
    path = Path(__file__).parent.parent / "data" / "export-files.schema.json"
    return json.loads(path.read_text("utf-8"))
