"""The storage emulator as the tests and the demo start it."""

from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from localdev.azurite import Azurite, Ports, missing
from localdev.processes import StartError, is_listening


def test_azurite_fixture_answers_on_all_three_services(azurite: Azurite) -> None:
    with BlobServiceClient.from_connection_string(azurite.connection_string) as blobs:
        blobs.create_container("three-services").upload_blob("a.txt", b"hello")
        assert blobs.get_blob_client("three-services", "a.txt").download_blob().readall() == b"hello"
        assert blobs.url.rstrip("/") == azurite.blob_endpoint
    with QueueServiceClient.from_connection_string(azurite.connection_string) as queues:
        queues.create_queue("three-services").send_message("hello")
    with TableServiceClient.from_connection_string(azurite.connection_string) as tables:
        tables.create_table("threeservices").create_entity({"PartitionKey": "a", "RowKey": "b", "c": 1})


@pytest.mark.azurite
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_given_a_data_folder_when_restarted_then_the_data_is_there(tmp_path: Path) -> None:
    with Azurite(log=tmp_path / "log", folder=tmp_path / "data") as first:
        ports = first.ports
        with BlobServiceClient.from_connection_string(first.connection_string) as blobs:
            blobs.create_container("kept").upload_blob("a.txt", b"hello")
    assert not any(map(is_listening, ports.all()))
    with (
        Azurite(log=tmp_path / "log", folder=tmp_path / "data", ports=ports) as second,
        BlobServiceClient.from_connection_string(second.connection_string) as blobs,
    ):
        assert second.ports == ports
        assert blobs.get_blob_client("kept", "a.txt").download_blob().readall() == b"hello"


def test_given_taken_ports_when_it_starts_then_the_reason_is_told(azurite: Azurite, tmp_path: Path) -> None:
    taken = azurite.ports
    with pytest.raises(StartError, match=rf"port {taken.blob}: something is listening"):
        Azurite(log=tmp_path / "log", ports=Ports(taken.blob, taken.queue, taken.table))
