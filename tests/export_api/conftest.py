"""The server half over the emulator, with raw data and a container to write to."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from mobexport.config import ExportsConfig
from mobexport.services import Services
from mobexport.settings import read_settings
from mobexport.storage import DataStorage


@pytest.fixture
def app(request: pytest.FixtureRequest) -> str:
    """A name of the test's own: tests share one account."""
    return f"app-{abs(hash(request.node.nodeid)) % 10**8}"


@pytest.fixture
def storage(azurite) -> DataStorage:
    return DataStorage(
        read_settings(
            {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
        )
    )


@pytest.fixture
def services(azurite, storage: DataStorage) -> Services:
    settings = read_settings(
        {
            "DATA_STORAGE": azurite.connection_string,
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "EXPORT_API_AUTH": "none",
        }
    )
    return Services(settings, ExportsConfig(), storage)


@pytest.fixture
def put_raw(storage: DataStorage, app: str) -> Callable[[str, bytes], None]:
    """Puts a raw file below the app's folder."""

    def put(name: str, data: bytes) -> None:
        storage.container("raw").upload_blob(f"{app}/{name}", data, overwrite=True)

    return put


@pytest.fixture
def landing(storage: DataStorage, app: str) -> str:
    """URL of a container of the test's own, with a SAS that may write."""
    storage.container(f"landing-{app}")
    return storage.container_write_url(f"landing-{app}", timedelta(hours=1))
