"""The data account under the living app: what somebody deleted is made again."""

import uuid

import pytest
from azure.core.exceptions import ResourceNotFoundError

from mobexport.errors import Transient
from mobexport.settings import read_settings
from mobexport.storage import DataStorage, known_error


@pytest.fixture
def storage(azurite) -> DataStorage:
    settings = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    return DataStorage(read_settings(settings))


USES = {
    "container": (
        lambda storage, name: storage.container(name).upload_blob("a", b"", overwrite=True),
        lambda storage, name: storage.blobs.delete_container(name),
    ),
    "queue": (
        lambda storage, name: storage.queue(name).send_message("a"),
        lambda storage, name: storage._queues.delete_queue(name),
    ),
    "table": (
        lambda storage, name: storage.table(name).upsert_entity({"PartitionKey": "p", "RowKey": "r"}),
        lambda storage, name: storage._tables.delete_table(name),
    ),
}


@pytest.mark.parametrize("kind", USES)
def test_given_something_deleted_under_the_app_then_made_again(storage, kind: str) -> None:
    use, delete = USES[kind]
    name = f"t{uuid.uuid4().hex}"
    use(storage, name)
    delete(storage, name)
    with pytest.raises(ResourceNotFoundError) as raised:
        use(storage, name)
    known = known_error(raised.value)
    assert isinstance(known, Transient)
    assert "was deleted; it is made again" in known.message
    use(storage, name)


def test_given_a_jobs_container_that_is_gone_then_it_stays_so(storage) -> None:
    with pytest.raises(ResourceNotFoundError) as raised:
        storage.container("landing-0123456789abcdef0123", create=False).upload_blob("a", b"")
    assert known_error(raised.value) is None
