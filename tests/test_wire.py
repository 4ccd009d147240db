"""Messages on Durable's wire: what comes back is what was sent, and anything else is refused."""

import json
from dataclasses import dataclass, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobexport import wire
from mobexport.errors import DataError, OtherVersion, Throttled
from mobexport.export_api import messages as of_tasks
from mobexport.pipeline import messages as of_exports
from mobexport.pipeline.jobs.poll_policy import PollPolicy
from mobexport.wire import MAX_TEXT, VERSION, AttemptRef, Failure, Message, Outcome, Step

MESSAGES = [
    found
    for module in (wire, of_tasks, of_exports)
    for found in vars(module).values()
    if isinstance(found, type) and issubclass(found, Message) and found not in (Message, Step)
]
VALUES = {
    "str": "a", "int": 3, "float": 1.5, "bool": True, "str | None": "b", "Mapping[str, Any]": {"n": 1},
    "Mapping[str, Any] | None": {"n": 2},
    "PollPolicy": PollPolicy(1, 2, 3, 4, 5), "Outcome": Outcome({"files": 2}),
}  # fmt: skip


def example(message: type[Message]) -> Message:
    return message(**{one.name: VALUES[str(one.type)] for one in fields(message)})


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_given_a_message_when_sent_as_json_then_it_comes_back_whole(message) -> None:
    sent = example(message)
    text = json.loads(json.dumps(sent.to_json()))
    assert text["version"] == VERSION
    assert message.from_json(text) == sent


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text | {"version": VERSION + 1},
        lambda text: {name: value for name, value in text.items() if name != "version"},
        lambda text: text | {"unknown": 1},
        lambda text: {"version": VERSION, "trace": None},
        lambda _: None,
        lambda _: "text",
    ],
    ids=["newer", "none", "unknown member", "nothing else", "null", "text"],
)
def test_given_a_message_of_another_version_then_refused_with_a_remedy(message, change) -> None:
    with pytest.raises(OtherVersion, match=r"deployed while it was running, see docs/upgrade\.md"):
        message.from_json(change(example(message).to_json()))


@dataclass(frozen=True, kw_only=True)
class Sample(Message):
    some_name: int | None = None


def test_given_an_empty_member_then_left_out_and_names_in_camel_case() -> None:
    assert Sample().to_json() == {"version": VERSION}
    assert Sample(some_name=0).to_json() == {"version": VERSION, "someName": 0}


@given(
    st.builds(
        Failure,
        *[st.text(max_size=5)] * 3,
        retryable=st.booleans(),
        status=st.none() | st.integers(100, 599),
        retry_after=st.none() | st.floats(0, 1e5),
    )
)
def test_given_any_outcome_when_sent_then_it_comes_back_whole(failure) -> None:
    for outcome in (Outcome(failure=failure), Outcome({"n": [1, None]}), Outcome()):
        assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


@pytest.mark.parametrize("value", [None, {}, {"ok": 1}, {"error": {"code": "X"}}, "ok", []])
def test_given_no_outcome_when_read_then_refused(value) -> None:
    with pytest.raises(OtherVersion):
        Outcome.from_json(value)


def test_given_an_error_when_made_a_failure_then_short_and_without_secrets() -> None:
    failure = Failure.of(DataError("https://a/c?sig=SECRET " + "x" * 5000))
    assert "SECRET" not in failure.message
    assert len(failure.message) == MAX_TEXT
    throttled = Failure.of(Throttled("wait", status=429, retry_after=7))
    assert (throttled.retryable, throttled.status, throttled.retry_after) == (True, 429, 7)


def test_given_an_attempt_when_written_then_one_key() -> None:
    assert str(AttemptRef("shop-event-1", 2)) == "shop-event-1-2"
