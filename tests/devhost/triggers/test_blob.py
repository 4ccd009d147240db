"""Blob triggers: paths without storage; polling, receipts and poison with Azurite."""

import json
import socket
import time
import uuid
from base64 import b64decode
from collections.abc import Mapping

import pytest
from azure.core.exceptions import AzureError
from azure.functions.blob import BlobConverter
from azure.functions.meta import Datum
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from devhost.azurite import ConnectionSettingError, check_connection, connection_string, is_needed
from devhost.durable.store import Store
from devhost.triggers.blob import POISON_QUEUE, BlobTrigger, parse_path
from samples.azurite import Azurite


def test_given_a_pattern_when_blobs_are_matched_then_names_are_greedy_and_case_counts() -> None:
    path = parse_path("exports/in/{name}.{ext}")
    assert (path.container, path.prefix) == ("exports", "in/")
    assert path.match("in/a.b.csv") == {"name": "a.b", "ext": "csv"}
    assert path.match("IN/a.csv") is None
    assert parse_path("exports").match("any/thing") == {}


@pytest.mark.parametrize(
    "text", ["exports/", "Exports/a", "{c}/a", "exports/{a}{", "ex--ports/{a}", "e/{a}/{a}"]
)
def test_given_a_wrong_path_when_read_then_it_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Invalid blob trigger path"):
        parse_path(text)


def test_given_a_connection_name_when_resolved_then_both_spellings_and_the_emulator_are_known() -> None:
    assert connection_string("DATA", {"AzureWebJobsDATA": "x"}) == "x"
    assert "devstoreaccount1" in str(connection_string("DATA", {"DATA": "UseDevelopmentStorage=true"}))
    check_connection("DATA", {"DATA__blobServiceUri": "https://a.blob.core.windows.net"})
    with pytest.raises(ConnectionSettingError, match="'DATA' is not set"):
        check_connection("DATA", {})


def test_given_one_setting_on_development_storage_when_nothing_listens_then_azurite_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listening = False
    monkeypatch.setattr("devhost.azurite.is_listening", lambda _port: listening)
    assert is_needed({"DATA_STORAGE": "UseDevelopmentStorage=true;"})
    assert not is_needed({"DATA_STORAGE": "AccountName=a", "AzureWebJobsStorage": ""})
    listening = True
    assert not is_needed({"DATA_STORAGE": "UseDevelopmentStorage=true"})


def test_given_a_storage_that_is_down_when_polled_then_it_says_so_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    key = connection_string("DATA", {"DATA": "UseDevelopmentStorage=true"})
    environment = {"DATA": str(key).replace(":10000/", f":{port}/")}
    trigger = BlobTrigger("f", parse_path("inbox"), "DATA", Store(":memory:"), _Runs(), environment)
    began = time.monotonic()
    with pytest.raises(AzureError):
        trigger.poll()
    assert time.monotonic() - began < 5


class _Runs:
    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.seen: list[tuple[str | None, int | None, bytes]] = []
        self.attempts = 0

    def __call__(self, value: Datum, metadata: Mapping[str, Datum], reason: str) -> None:
        self.attempts += 1
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no")
        stream = BlobConverter.decode(value, trigger_metadata=dict(metadata))
        self.seen.append((stream.name, stream.length, stream.read()))


def test_given_blobs_when_polled_then_each_version_runs_once_also_after_a_restart(azurite: Azurite) -> None:
    container, store, runs = f"c{uuid.uuid4().hex}", Store(":memory:"), _Runs()
    environment = {"DATA": azurite.connection_string}

    def trigger() -> BlobTrigger:
        return BlobTrigger("f", parse_path(f"{container}/in/{{n}}"), "DATA", store, runs, environment)

    first = trigger()
    first.poll()  # no container yet: nothing happens
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        client = service.create_container(container)
        client.upload_blob("in/a b.bin", b"\xff\x00")
        client.upload_blob("out/x", b"no")
        first.poll()
        first.poll()
        assert runs.seen == [(f"{container}/in/a b.bin", 2, b"\xff\x00")]
        client.upload_blob("in/a b.bin", b"", overwrite=True)
        trigger().poll()
        trigger().poll()
    assert runs.seen[1:] == [(f"{container}/in/a b.bin", None, b"")]


def test_given_a_blob_that_always_fails_when_polled_then_it_goes_to_the_poison_queue(
    azurite: Azurite,
) -> None:
    container, runs = f"c{uuid.uuid4().hex}", _Runs(failures=99)
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        service.create_container(container).upload_blob("bad", b"1")
    environment = {"DATA": azurite.connection_string}
    trigger = BlobTrigger("f", parse_path(container), "DATA", Store(":memory:"), runs, environment)
    trigger.poll()
    trigger.poll()
    assert runs.attempts == 5
    with QueueServiceClient.from_connection_string(azurite.connection_string) as queues:
        texts = [m.content for m in queues.get_queue_client(POISON_QUEUE).receive_messages()]
    found = [m for m in (json.loads(b64decode(t)) for t in texts) if m["ContainerName"] == container]
    assert [(m["FunctionId"], m["BlobName"]) for m in found] == [("Host.Functions.f", "bad")]
