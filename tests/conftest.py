"""What tests of several packages share: the storage emulator."""

from collections.abc import Iterator

import pytest

from samples.azurite import Azurite, missing


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """An Azurite of this test run's own (one per xdist worker), in memory, on free loopback ports.

    `.connection_string`, `.blob_endpoint`, `.queue_endpoint`, `.table_endpoint`, `.log` (a path). Tests share
    it: name containers, queues and tables uniquely.
    """
    if reason := missing():
        pytest.skip(reason)
    with Azurite(log=tmp_path_factory.mktemp("azurite") / "azurite.log") as running:
        yield running


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever uses the emulator; first, so that `-m "not azurite"` sees the marks."""
    for item in items:
        if "azurite" in getattr(item, "fixturenames", ()):
            item.add_marker("azurite")
