"""Event Grid events that come to a webhook: both handshakes, and a run for each event.

Sources: HttpRequestProcessor and EventGridExtensionConfigProvider of the Event Grid extension.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from azure.functions.meta import Datum

from devhost.invoker import CALLED, Call

Event = Mapping[str, Any]
_ORIGIN = "eventgrid.azure.net"


@dataclass(frozen=True)
class Answer:
    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def receive(
    method: str, headers: Mapping[str, str], body: bytes, deliver: Callable[[Sequence[Event]], Answer]
) -> Answer:
    """One request to a webhook; `headers` with names in lower case."""
    if method == "OPTIONS":
        # The handshake of CloudEvents' HTTP 1.1 webhooks.
        origin = headers.get("webhook-request-origin", _ORIGIN)
        return Answer(200, headers={"WebHook-Allowed-Origin": origin})
    kind = headers.get("aeg-event-type", "").lower()
    if method != "POST" or kind not in ("subscriptionvalidation", "notification", "unsubscribe"):
        return Answer(400)
    if kind == "unsubscribe":
        return Answer(202)
    try:
        found = json.loads(body)
        if kind == "subscriptionvalidation":
            return Answer(200, json.dumps({"validationResponse": _validation_code(found)}))
        events = found if isinstance(found, list) else [found]
        if not all(isinstance(event, dict) for event in events):
            raise TypeError("an event is a JSON object")
    except (ValueError, TypeError, KeyError, IndexError) as error:
        # The real host fails on such a body as well, without a word.
        return Answer(500, f"the body is not what Event Grid sends: {type(error).__name__}: {error}")
    return deliver(events)


def _validation_code(found: Any) -> str:
    """Of an array in Event Grid's schema, or a CloudEvent, whose data are encoded once more."""
    data = found[0]["data"] if isinstance(found, list) else found["data"]
    if isinstance(data, str):
        data = json.loads(data)
    return str(data["validationCode"])


class EventGridTrigger:
    """`run` runs the function and raises what it raises."""

    def __init__(self, function: str, run: Callable[[Call], object]) -> None:
        self._function = function
        self._run = run
        self._pool = ThreadPoolExecutor(64, f"devhost-events-{function}")

    def start(self) -> None:
        """Nothing to do: events come to the webhook."""

    def stop(self) -> None:
        """Nothing to do: the server takes no more requests."""

    def join(self, _timeout: float) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def run_by_hand(self, text: str | None) -> None:
        """With the JSON text of an event. Raises ValueError."""
        event = json.loads(text or "")
        if not isinstance(event, dict):
            raise ValueError("the input must be the JSON text of one event")
        self._run(self._call(event, CALLED))

    def deliver(self, events: Sequence[Event]) -> Answer:
        """All at once; if one fails, Event Grid is told to send all of them again."""
        runs = [self._pool.submit(self._run, self._call(event, "EventGrid trigger")) for event in events]
        wait(runs)
        if any(run.exception() for run in runs):
            return Answer(500, f"Exception while executing function: Functions.{self._function}")
        return Answer(202)

    @staticmethod
    def _call(event: Event, reason: str) -> Call:
        text = json.dumps(event, ensure_ascii=False)
        return Call(Datum(text, "json"), {"data": Datum(json.dumps(event.get("data")), "json")}, reason)
