"""Event Grid's webhooks: handshakes in both schemas, events, failures, runs by hand."""

import json
import threading
from typing import Any

import pytest
from azure.functions.eventgrid import EventGridEventInConverter

from devhost.invoker import Call
from devhost.triggers.event_grid import EventGridTrigger
from devhost.webhooks import Webhooks

EVENT = {
    "id": "1",
    "topic": "/t",
    "subject": "s",
    "eventType": "T",
    "eventTime": "2026-11-24T00:00:00Z",
    "data": {"n": 1},
    "dataVersion": "1",
}
CLOUD = {"specversion": "1.0", "id": "2", "source": "/s", "type": "T", "data": {"n": 2}}


class _Runs:
    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.failing: set[int] = set()

    def __call__(self, call: Call) -> None:
        self.calls.append(call)
        if json.loads(call.value.value)["data"]["n"] in self.failing:
            raise RuntimeError("no")


def _post(runs: Any, body: Any, kind: str = "Notification", name: str = "f", method: str = "POST") -> Any:
    headers = {"aeg-event-type": kind, "webhook-request-origin": "eventemitter.example.com"}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    hooks = Webhooks({"f": EventGridTrigger("f", runs)})
    return hooks.handle(method, "EventGrid", {"functionName": name}, headers, content)


@pytest.mark.parametrize(
    "body",
    [
        [{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "X"}}],
        {"specversion": "1.0", "data": {"validationCode": "X"}},
        {"specversion": "1.0", "data": json.dumps({"validationCode": "X"})},  # encoded once more
    ],
)
def test_given_a_validation_event_when_it_comes_then_its_code_goes_back(body: Any) -> None:
    answer = _post(_Runs(), body, "SubscriptionValidation")
    assert (answer.status, json.loads(answer.body)) == (200, {"validationResponse": "X"})


def test_given_the_handshake_of_cloud_events_when_asked_then_the_origin_is_allowed() -> None:
    answer = _post(_Runs(), b"", method="OPTIONS")
    assert (answer.status, dict(answer.headers)) == (
        200,
        {"WebHook-Allowed-Origin": "eventemitter.example.com"},
    )


def test_given_events_when_they_come_then_one_run_each_side_by_side() -> None:
    runs = _Runs()
    together = threading.Barrier(3)

    def run(call: Call) -> None:
        together.wait(20)
        runs(call)

    answer = _post(run, [EVENT, CLOUD, EVENT])
    assert (answer.status, answer.body, len(runs.calls)) == (202, "", 3)
    found = [
        EventGridEventInConverter.decode(call.value, trigger_metadata=dict(call.metadata))
        for call in runs.calls
    ]
    assert sorted(type(event).__name__ for event in found) == [
        "CloudEvent",
        "EventGridEvent",
        "EventGridEvent",
    ]
    assert json.loads(runs.calls[0].metadata["data"].value)["n"] in (1, 2)


def test_given_one_event_as_an_object_when_it_comes_then_it_runs() -> None:
    runs = _Runs()
    assert _post(runs, CLOUD).status == 202
    assert len(runs.calls) == 1


def test_given_events_of_which_one_fails_when_they_come_then_500_and_the_others_ran() -> None:
    runs = _Runs()
    runs.failing = {1}
    answer = _post(runs, [EVENT, CLOUD])
    assert (answer.status, answer.body) == (500, "Exception while executing function: Functions.f")
    assert len(runs.calls) == 2


@pytest.mark.parametrize(
    ("kind", "body", "name", "method", "status"),
    [
        ("Unsubscribe", b"", "f", "POST", 202),
        ("Other", b"[]", "f", "POST", 400),
        ("", b"[]", "f", "POST", 400),
        ("Notification", b"[]", "f", "GET", 400),
        ("Notification", b"[]", "g", "POST", 404),
        ("Notification", b"[]", "", "POST", 404),
        ("Notification", b"{no", "f", "POST", 500),
        ("Notification", b"5", "f", "POST", 500),
        ("SubscriptionValidation", b"[]", "f", "POST", 500),
        ("SubscriptionValidation", b"{}", "f", "POST", 500),
    ],
)
def test_given_other_requests_when_they_come_then_the_status_says_so(
    kind: str, body: bytes, name: str, method: str, status: int
) -> None:
    runs = _Runs()
    assert _post(runs, body, kind, name, method).status == status
    assert runs.calls == []


def test_given_the_text_of_an_event_when_run_by_hand_then_it_runs() -> None:
    runs = _Runs()
    trigger = EventGridTrigger("f", runs)
    trigger.run_by_hand(json.dumps(EVENT))
    assert len(runs.calls) == 1
    with pytest.raises(ValueError, match="JSON text of one event"):
        trigger.run_by_hand("[]")
