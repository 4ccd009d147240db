"""Connection names: settings, their precedence, and messages that name them."""

import pytest

from devhost.azurite import is_needed
from devhost.storage import Storage, connection_string

EMULATOR = "UseDevelopmentStorage=true"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"DATA": "a"}, "a"),
        ({"AzureWebJobsDATA": "b"}, "b"),
        ({"DATA": "a", "AzureWebJobsDATA": "b"}, "b"),
        ({"DATA": "a", "ConnectionStrings:DATA": "c"}, "c"),
        ({"DATA": ""}, None),
        ({}, None),
    ],
)
def test_given_a_connection_name_when_looked_up_then_as_the_real_host_does(
    environment: dict[str, str], expected: str | None
) -> None:
    assert connection_string("DATA", environment) == expected


def test_given_the_emulators_short_form_then_it_is_written_out() -> None:
    assert "devstoreaccount1" in str(connection_string("DATA", {"DATA": EMULATOR + ";"}))


def test_given_a_connection_then_a_missing_or_useless_setting_is_named() -> None:
    storage = Storage(
        {"ID__blobServiceUri": "https://a.blob.core.windows.net", "BAD": "hello", "GOOD": EMULATOR}
    )
    storage.check("ID", "blob")
    storage.check("GOOD", "queue")
    with pytest.raises(ValueError, match="'AzureWebJobsDATA' does not exist"):
        storage.check("DATA", "blob")
    with pytest.raises(ValueError, match="ID__queueServiceUri"):
        storage.check("ID", "queue")
    with pytest.raises(ValueError, match="the setting BAD holds no connection string"):
        storage.check("BAD", "blob")


def test_given_a_connection_when_told_of_then_name_and_address_but_no_key() -> None:
    storage = Storage({"A": "AccountName=shop;AccountKey=c2VjcmV0", "E": EMULATOR})
    assert storage.where("A", "blob") == "the storage of setting A (https://shop.blob.core.windows.net)"
    assert "127.0.0.1:10001" in storage.where("E", "queue")


def test_given_development_storage_not_listening_then_azurite_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listening = False
    monkeypatch.setattr("devhost.azurite.is_listening", lambda _port: listening)
    assert is_needed({"DATA_STORAGE": "UseDevelopmentStorage=true;"})
    assert not is_needed({"DATA_STORAGE": "AccountName=a", "AzureWebJobsStorage": ""})
    listening = True
    assert not is_needed({"DATA_STORAGE": "UseDevelopmentStorage=true"})
