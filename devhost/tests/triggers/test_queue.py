"""Queue triggers and outputs on the emulator: messages, attempts, poison, encodings."""

import json
import threading
import uuid
from base64 import b64encode
from typing import Any

import pytest
from azure.functions.meta import Datum
from azure.functions.queue import QueueMessageInConverter, QueueMessageOutConverter

from devhost.bindings.queues import Encoding, QueueOutput, check_queue_name, messages
from devhost.invoker import Call
from devhost.settings import QueueOptions
from devhost.storage import Storage
from devhost.triggers.queue import QueueTrigger


class _World:
    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.queue = f"q{uuid.uuid4().hex}"
        self.calls: list[Call] = []
        self.failing = False
        self.before: Any = None

    def client(self, suffix: str = "") -> Any:
        return self.storage.queues("DATA").get_queue_client(self.queue + suffix)

    def send(self, *texts: str) -> None:
        for text in texts:
            self.client().send_message(b64encode(text.encode()).decode())

    def run(self, call: Call) -> None:
        self.calls.append(call)
        if self.before:
            self.before(call)
        if self.failing:
            raise RuntimeError("no")

    def trigger(self, queue: str | None = None, **options: Any) -> QueueTrigger:
        visibility = options.pop("visibility", 60)
        binary = options.pop("is_binary", False)
        return QueueTrigger(
            "f",
            queue or self.queue,
            "DATA",
            self.storage,
            self.run,
            QueueOptions(**options),
            visibility=visibility,
            is_binary=binary,
        )

    def drain(self, trigger: QueueTrigger) -> None:
        while trigger.poll():
            assert trigger.wait_until_idle(30)

    def texts(self) -> list[str]:
        return sorted(call.value.value for call in self.calls)


@pytest.fixture
def world(storage: Storage) -> _World:
    made = _World(storage)
    made.client().create_queue()
    return made


def test_given_no_queue_when_polled_then_nothing_happens_and_none_is_made(storage: Storage) -> None:
    world = _World(storage)
    assert world.trigger().poll() == 0
    assert not list(storage.queues("DATA").list_queues(name_starts_with=world.queue))


def test_given_messages_when_polled_then_each_runs_once_with_what_the_host_knows_of_it(world: _World) -> None:
    world.send("hello", '{"a":"é","n":[1]}')
    world.drain(world.trigger())
    assert world.texts() == ["hello", '{"a":"é","n":[1]}']
    call = next(c for c in world.calls if c.value.value != "hello")
    assert call.reason == f"New queue message detected on '{world.queue}'."
    assert call.details["DequeueCount"] == "1"
    # the types are those recorded from the real host
    kinds = {name: datum.type for name, datum in call.metadata.items()}
    assert kinds == {
        "Id": "string",
        "DequeueCount": "json",
        "PopReceipt": "string",
        "ExpirationTime": "json",
        "InsertionTime": "json",
        "NextVisibleTime": "json",
        "QueueTrigger": "string",
        "a": "string",
        "n": "json",
    }
    message = QueueMessageInConverter.decode(call.value, trigger_metadata=dict(call.metadata))
    assert (message.dequeue_count, message.get_json()) == (1, {"a": "é", "n": [1]})
    assert message.expiration_time > message.insertion_time
    assert world.client().get_queue_properties().approximate_message_count == 0


def test_given_a_message_that_always_fails_when_polled_then_five_attempts_and_the_poison_queue(
    world: _World,
) -> None:
    world.failing = True
    world.send("bad")
    world.drain(world.trigger())
    assert [json.loads(c.metadata["DequeueCount"].value) for c in world.calls] == [1, 2, 3, 4, 5]
    poison = list(world.client("-poison").receive_messages())
    assert [m.content for m in poison] == [b64encode(b"bad").decode()]
    assert world.client().get_queue_properties().approximate_message_count == 0


def test_given_text_that_is_no_base64_when_polled_then_it_is_poison_and_python_never_sees_it(
    world: _World,
) -> None:
    world.client().send_message("not base64!")
    world.drain(world.trigger(max_dequeue_count=2))
    assert world.calls == []
    assert [m.content for m in world.client("-poison").receive_messages()] == ["not base64!"]


def test_given_no_encoding_when_polled_then_texts_are_taken_as_they_are(world: _World) -> None:
    world.client().send_message("not base64!")
    world.drain(world.trigger(message_encoding="none"))
    assert world.texts() == ["not base64!"]


def test_given_a_poison_queue_when_its_message_fails_then_it_stays_there_hidden(world: _World) -> None:
    world.failing = True
    world.client("-poison").create_queue()
    world.client("-poison").send_message(b64encode(b"x").decode())
    world.drain(world.trigger(f"{world.queue}-poison", max_dequeue_count=1))
    assert len(world.calls) == 1
    assert world.client("-poison").get_queue_properties().approximate_message_count == 1


def test_given_a_message_whose_last_run_was_cut_short_when_polled_then_it_is_poison_at_once(
    world: _World,
) -> None:
    world.send("killed the host")
    for _ in range(2):
        list(world.client().receive_messages(visibility_timeout=1))
        threading.Event().wait(1.2)
    world.drain(world.trigger(max_dequeue_count=2))
    assert world.calls == []
    assert len(list(world.client("-poison").receive_messages())) == 1


def test_given_a_run_longer_than_its_message_is_hidden_when_it_ends_then_nobody_else_got_it(
    world: _World,
) -> None:
    world.send("slow")
    world.before = lambda _call: threading.Event().wait(3.5)
    trigger = world.trigger(visibility=2)
    trigger.poll()
    threading.Event().wait(2.5)
    assert trigger.poll() == 0
    assert trigger.wait_until_idle(30)
    assert len(world.calls) == 1
    assert world.client().get_queue_properties().approximate_message_count == 0


def test_given_a_batch_when_polled_then_its_runs_overlap_and_the_next_waits_for_room(world: _World) -> None:
    world.send(*map(str, range(4)))
    together, gate = threading.Barrier(4), threading.Event()

    def wait(_call: Call) -> None:
        together.wait(20)  # the three runs of the batch and the test itself
        gate.wait(20)

    world.before = wait
    trigger = world.trigger(batch_size=3, new_batch_threshold=2)
    assert trigger.poll() == 3
    together.wait(20)
    assert trigger.poll() == 0  # three are running, more than two
    world.before = None
    gate.set()
    world.drain(trigger)
    assert world.texts() == ["0", "1", "2", "3"]


def test_given_binary_data_when_polled_then_bytes_arrive(world: _World) -> None:
    world.client().send_message(b64encode(b"\xff\x00").decode())
    world.drain(world.trigger(is_binary=True))
    assert (world.calls[0].value.type, world.calls[0].value.value) == ("bytes", b"\xff\x00")


def test_given_a_text_when_run_by_hand_then_it_is_a_message_of_no_queue(world: _World) -> None:
    world.trigger().run_by_hand('{"k": 1}')
    call = world.calls[0]
    message = QueueMessageInConverter.decode(call.value, trigger_metadata=dict(call.metadata))
    assert message.get_json() == {"k": 1}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", [b"text"]),
        (b"\xff\x00", [b"\xff\x00"]),
        (["a", '{"b": 1}'], [b"a", b'{"b": 1}']),
        ('[1, {"b":"\xe9"}, "c"]', [b"1", '{\n  "b": "é"\n}'.encode(), b"c"]),
        ('{"b":1}', [b'{\n  "b": 1\n}']),
        ("5", [b"5"]),
        ("{no json", [b"{no json"]),
        ("[]", []),
        ({"key": "value"}, [b"key"]),  # the SDK's own mistake: a dict is sent as the list of its keys
    ],
)
def test_given_outputs_of_all_kinds_when_sent_then_the_messages_are_the_real_hosts(
    value: Any, expected: list[bytes]
) -> None:
    assert list(messages(QueueMessageOutConverter.encode(value, expected_type=None))) == expected


def test_given_an_output_when_written_then_its_queue_is_made_and_the_name_filled(storage: Storage) -> None:
    name = f"o{uuid.uuid4().hex}"
    output = QueueOutput({"connection": "DATA"}, f"{name}-{{kind}}", storage, Encoding())
    for _ in range(2):
        output.write(Datum('["é", "2"]', "json"), {"Kind": "New"})
    found = storage.queues("DATA").get_queue_client(f"{name}-new").receive_messages()
    assert sorted(Encoding().decode(m.content).decode() for m in found) == ["2", "2", "é", "é"]


@pytest.mark.parametrize("name", ["a_b", "ab", "a--b", "-ab", "a" * 64, "a.b"])
def test_given_a_wrong_queue_name_when_checked_then_it_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="A queue name can contain only letters, numbers"):
        check_queue_name(name)
    assert check_queue_name("MyQueue-1") == "myqueue-1"
