"""What the tests of tables share: the account, and an app of each test's own."""

import pytest
from curated import storage_of

from mobexport.storage import DataStorage


@pytest.fixture(scope="module")
def storage(azurite) -> DataStorage:
    return storage_of(azurite)


@pytest.fixture
def app(request) -> str:
    return f"app-{abs(hash(request.node.nodeid)) % 10**8}"
