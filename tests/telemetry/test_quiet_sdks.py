"""Libraries under a root logger at DEBUG: nothing they log may hold a SAS or a token."""

import logging

import pytest
import requests
from raw_server import RawServer, saying

from mobexport.telemetry.logs import quiet_sdks

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def levels():
    """The levels of these loggers, as they were before."""
    names = ("azure", "urllib3", "requests", "msal", "msal_extensions")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.NOTSET)
    yield names
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def test_given_the_root_logger_at_debug_then_no_library_prints_a_sas(caplog, levels) -> None:
    caplog.set_level(logging.DEBUG)
    with RawServer(saying(ANSWER)) as server:
        requests.get(f"{server.url}c?sig=SECRET", timeout=5)
        assert "SECRET" in caplog.text, "the test is of no use if nothing is logged without the mend"
        caplog.clear()
        quiet_sdks()
        requests.get(f"{server.url}c?sig=SECRET", timeout=5)
    for name in levels:
        # As urllib3 does when it tries again.
        logging.getLogger(f"{name}.deeper").info("Retrying: %s", "/c?sig=SECRET")
    logging.getLogger("urllib3.connectionpool").warning("Retrying: %s", "/c?sig=SECRET")
    assert "SECRET" not in caplog.text


def test_given_the_app_is_imported_then_the_libraries_are_quiet() -> None:
    import durable_app.blueprint  # noqa: F401

    assert logging.getLogger("urllib3.connectionpool").getEffectiveLevel() == logging.ERROR
