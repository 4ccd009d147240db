"""Blob triggers on the emulator: versions, receipts, attempts, poison, storage that is down."""

import json
import logging
import socket
import threading
import uuid
from base64 import b64decode
from typing import Any

import pytest
from azure.core.exceptions import AzureError
from azure.functions.blob import BlobConverter

from devhost.azurite import Azurite
from devhost.durable.store import Store
from devhost.invoker import Call
from devhost.storage import Storage, connection_string
from devhost.triggers import poison
from devhost.triggers.blob import BlobTrigger
from devhost.triggers.blob_path import parse_path


class _Runs:
    """What the function was given, as Python sees it."""

    def __init__(self) -> None:
        self.failures = 0
        self.calls: list[Call] = []
        self.streams: list[Any] = []
        self._read: list[tuple[str, int | None, bytes]] = []
        self.before: Any = None

    def __call__(self, call: Call) -> None:
        self.calls.append(call)
        if self.before:
            self.before()
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no")
        stream = BlobConverter.decode(call.value, trigger_metadata=dict(call.metadata))
        self._read.append((stream.name.partition("/")[2], stream.length, stream.read()))
        self.streams.append(stream)

    def seen(self) -> list[tuple[str, int | None, bytes]]:
        return sorted(self._read, key=lambda item: (item[0], item[2]))


class _World:
    def __init__(self, storage: Storage) -> None:
        self.container = f"c{uuid.uuid4().hex}"
        self.storage = storage
        self.store = Store(":memory:")
        self.runs = _Runs()

    @property
    def blobs(self) -> Any:
        return self.storage.blobs("DATA").get_container_client(self.container)

    def trigger(self, pattern: str = "/in/{n}", **options: Any) -> BlobTrigger:
        path = parse_path(self.container + pattern)
        return BlobTrigger("f", path, "DATA", self.storage, self.store, self.runs, **options)

    def look(self, trigger: BlobTrigger | None = None) -> BlobTrigger:
        trigger = trigger or self.trigger()
        trigger.poll()
        assert trigger.wait_until_idle(30)
        return trigger


@pytest.fixture
def world(storage: Storage) -> _World:
    return _World(storage)


NAMES = ["in/a b.bin", "in/100%.json", "in/sp ace%20é.json", "in/ünï/ço.dé", "in/a+b&c=d#e.txt", "in/.hidden"]


def test_given_blobs_then_each_version_runs_once_even_after_a_restart(world: _World) -> None:
    first = world.look()  # no container yet: nothing happens
    world.blobs.create_container()
    world.blobs.upload_blob("in/x", b"\xff\x00")
    world.blobs.upload_blob("out/x", b"no")
    world.look(first)
    world.look(first)
    assert world.runs.seen() == [("in/x", 2, b"\xff\x00")]
    world.blobs.upload_blob("in/x", b"second", overwrite=True)
    world.look()
    world.look()
    assert world.runs.seen() == [("in/x", 6, b"second"), ("in/x", 2, b"\xff\x00")]


def test_given_names_and_contents_of_all_kinds_then_they_arrive_intact(
    world: _World,
) -> None:
    world.blobs.create_container()
    contents = [bytes(range(256)), b"", b"\xff\xfe", "é".encode(), b"{}", b"\x00"]
    for name, content in zip(NAMES, contents, strict=True):
        world.blobs.upload_blob(name, content, metadata={"k1": "v1"})
    trigger = world.look()
    expected = [(n, len(c) or None, c) for n, c in zip(NAMES, contents, strict=True)]  # of 0 bytes: None
    assert world.runs.seen() == sorted(expected, key=lambda item: item[0])
    stream = next(s for s in world.runs.streams if s.name.endswith("é.json"))
    assert stream.uri.endswith(f"/{world.container}/in/sp%20ace%2520%C3%A9.json")  # as recorded
    assert stream.metadata == {"k1": "v1"}
    assert stream.blob_properties["ETag"].startswith('"')
    call = world.runs.calls[0]
    name = call.metadata["BlobTrigger"].value
    assert call.reason == f"New blob detected(LogsAndContainerScan): {name}"
    assert call.metadata["n"].value == name.removeprefix(f"{world.container}/in/")
    world.look(trigger)
    assert len(world.runs.calls) == len(NAMES)


def test_given_late_news_of_a_blob_then_its_function_runs_on_arrival(
    world: _World,
) -> None:
    asked: list[tuple[str, str]] = []

    def arrived(path: str, etag: str) -> bool:
        asked.append((path, etag))
        return len(asked) > 2

    world.blobs.create_container()
    world.blobs.upload_blob("in/late", b"1")
    trigger = world.trigger()
    trigger.arrived = arrived
    seen = []
    for _ in range(4):
        world.look(trigger)
        seen.append(len(world.runs.calls))
    assert seen == [0, 0, 1, 1]
    assert {path for path, _ in asked} == {f"{world.container}/in/late"}


def test_given_a_blob_that_always_fails_then_five_tries_and_poison_queue(
    world: _World,
) -> None:
    world.blobs.create_container()
    world.blobs.upload_blob("in/bad", b"1")
    world.runs.failures = 99
    world.look(world.look())
    assert len(world.runs.calls) == 5
    queue = world.storage.queues("DATA").get_queue_client(poison.QUEUE)
    bodies = [json.loads(b64decode(m.content)) for m in queue.receive_messages(visibility_timeout=1)]
    found = [body for body in bodies if body["ContainerName"] == world.container]
    etag = world.blobs.get_blob_client("in/bad").get_blob_properties().etag
    assert found == [
        {
            "Type": "BlobTrigger",
            "FunctionId": "Host.Functions.f",
            "BlobType": "BlockBlob",
            "ContainerName": world.container,
            "BlobName": "in/bad",
            "ETag": etag,
        }
    ]
    world.look()  # nor after a restart
    assert len(world.runs.calls) == 5


def test_given_a_blob_that_fails_at_first_then_it_is_retried_at_once(
    world: _World,
) -> None:
    world.blobs.create_container()
    world.blobs.upload_blob("in/x", b"1")
    world.runs.failures = 4
    world.look()
    assert (len(world.runs.calls), world.runs.seen()) == (5, [("in/x", 1, b"1")])


def test_given_a_blob_deleted_or_changed_between_tries_then_it_is_over(
    world: _World, caplog: pytest.LogCaptureFixture
) -> None:
    world.blobs.create_container()
    world.blobs.upload_blob("in/gone", b"1")
    world.runs.failures = 1
    world.runs.before = lambda: world.blobs.delete_blob("in/gone")
    trigger = world.look()
    assert len(world.runs.calls) == 1

    world.blobs.upload_blob("in/new", b"old")
    world.runs.failures = 1

    def overwrite() -> None:
        world.runs.before = None
        world.blobs.upload_blob("in/new", b"new", overwrite=True)

    world.runs.before = overwrite
    world.look(trigger)
    assert world.runs.seen() == []
    world.look(trigger)
    assert world.runs.seen() == [("in/new", 3, b"new")]
    assert "does not answer" not in caplog.text


def test_given_a_slow_blob_when_others_come_then_they_do_not_wait(world: _World) -> None:
    world.blobs.create_container()
    world.blobs.upload_blob("in/slow", b"1")
    gate, started = threading.Event(), threading.Event()

    def wait() -> None:
        if world.runs.calls[-1].metadata["n"].value == "slow":
            started.set()
            gate.wait(30)

    world.runs.before = wait
    trigger = world.trigger(parallel=2)
    trigger.poll()
    assert started.wait(30)
    world.blobs.upload_blob("in/quick", b"2")
    trigger.poll()
    trigger.poll()  # the slow one is not begun a second time
    while not world.runs.streams:
        threading.Event().wait(0.02)
    assert world.runs.seen() == [("in/quick", 1, b"2")]
    gate.set()
    assert trigger.wait_until_idle(30)
    assert len(world.runs.calls) == 2


def test_given_a_processed_blob_when_run_by_hand_then_it_runs_once_more(
    world: _World,
) -> None:
    world.blobs.create_container()
    world.blobs.upload_blob("in/x", b"1")
    trigger = world.look()
    trigger.run_by_hand(f"{world.container}/in/x")
    assert world.runs.seen() == [("in/x", 1, b"1")] * 2
    world.look(trigger)
    assert len(world.runs.calls) == 2
    with pytest.raises(ValueError, match="Blob identifiers must be in the format 'container/blob'"):
        trigger.run_by_hand("nonsense")


def test_given_storage_that_is_down_then_the_log_names_the_setting_once(
    caplog: pytest.LogCaptureFixture, azurite: Azurite
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    environment = {
        "DATA": str(connection_string("DATA", {"DATA": "UseDevelopmentStorage=true"})).replace(
            ":10000/", f":{port}/"
        )
    }
    runs = _Runs()
    container = f"c{uuid.uuid4().hex}"
    trigger = BlobTrigger("f", parse_path(container), "DATA", Storage(environment), Store(":memory:"), runs)
    with pytest.raises(AzureError):
        trigger.poll()
    with caplog.at_level(logging.WARNING):
        trigger.start()
        while not caplog.records:
            threading.Event().wait(0.02)
        trigger.stop()
        trigger.join(10)
    assert len(caplog.records) == 1
    assert f"the storage of setting DATA (http://127.0.0.1:{port}/devstoreaccount1)" in caplog.text


def test_given_many_blobs_when_listed_then_all_of_them_in_pages(
    world: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.blobs.create_container()
    for number in range(7):
        world.blobs.upload_blob(f"in/{number}", b"1")
    client = world.blobs
    client_type = type(client)
    listing = client_type.list_blob_names
    monkeypatch.setattr(
        client_type, "list_blob_names", lambda self, **k: listing(self, results_per_page=3, **k)
    )
    assert [name for name, _ in world.trigger()._listed()] == [f"in/{n}" for n in range(7)]


@pytest.mark.parametrize(("cost", "rest"), [(0.001, 0.7), (0.2, 3.0), (90.0, 60.0)])
def test_given_a_listing_that_costs_when_done_then_the_rest_grows_with_it(
    cost: float, rest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = BlobTrigger("f", parse_path("abc"), "DATA", Storage({}), Store(":memory:"), _Runs())
    times = iter([10.0, 10.0 + cost])
    monkeypatch.setattr("devhost.triggers.blob.time.thread_time", lambda: next(times))
    monkeypatch.setattr(trigger, "_listed", list)
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        trigger.stop()

    monkeypatch.setattr(trigger._stopping, "wait", wait)
    trigger._loop()
    assert waited == [pytest.approx(rest)]
