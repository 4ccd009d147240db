"""Event Grid: a CloudEvent as a topic takes it, over real HTTP, with a key and with the app's identity."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from card_events import ENDED
from json_server import serving_json
from oauth_server import SECRET, OAuthServer
from pydantic import ValidationError

from mobexport.credentials import forget_tokens
from mobexport.errors import ConfigError, MobexportError, Rejected, Throttled
from mobexport.targets import EventGridTarget

KEY = "TOPSECRET/abc+def=="


class Topic:
    """A custom topic as the documentation says: it refuses whatever is not in its form."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.tokens: list[str] = []
        self.status = 200
        self.refused: set[str] = set()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        if (method, path) != ("POST", "/api/events?api-version=2018-01-01"):
            return 404, {}
        token = headers.get("authorization", "").removeprefix("Bearer ")
        self.tokens.append(token)
        if headers.get("aeg-sas-key") != KEY and (not token or token in self.refused):
            return 401, {"error": {"code": "Unauthorized"}}
        if headers["content-type"] != "application/cloudevents+json; charset=utf-8":
            return 400, {}
        event = json.loads(body)
        # CloudEvents 1.0, "Required Attributes": these, as texts that are not empty.
        if not all(isinstance(event.get(name), str) and event[name] for name in REQUIRED):
            return 400, {}
        if set(event) - {*REQUIRED, "subject", "time", "datacontenttype", "data"}:
            return 400, {}
        if self.status == 200:
            self.taken.append(event)
        return self.status, {}


REQUIRED = ("id", "source", "specversion", "type")


@pytest.fixture
def topic() -> Topic:
    return Topic()


def send(url: str, key_setting: str | None, path: str = "/api/events") -> None:
    target = EventGridTarget(kind="event-grid", endpoint=url + path, key_setting=key_setting)
    target.send(ENDED, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/api/events", "", "/", "/api/events?api-version=2018-01-01"])
def test_given_a_key_then_the_topic_takes_the_event_as_it_is(topic, monkeypatch, path: str) -> None:
    monkeypatch.setenv("TOPIC_KEY", KEY)
    with serving_json(topic.answer) as url:
        send(url, "TOPIC_KEY", path)
    assert topic.taken == [ENDED]


@pytest.mark.parametrize(
    ("status", "raised", "says"),
    [
        (400, Rejected, "input schema must be CloudEvents 1.0"),
        (401, ConfigError, "put a key of this topic into TOPIC_KEY"),
        (403, ConfigError, "TOPIC_KEY"),
        (404, ConfigError, "correct endpoint"),
        (413, Rejected, "larger than 1 MB"),
        (429, Throttled, "HTTP 429"),
    ],
)
def test_given_a_refusal_then_final_or_not_and_what_to_do(
    topic, monkeypatch, status: int, raised: type[MobexportError], says: str
) -> None:
    monkeypatch.setenv("TOPIC_KEY", KEY)
    topic.status = status
    with serving_json(topic.answer) as url, pytest.raises(raised) as error:
        send(url, "TOPIC_KEY")
    assert says in error.value.message
    assert "TOPSECRET" not in error.value.message


@pytest.mark.parametrize(("key", "says"), [("", "set the access key"), ("TOPSECRET key", "without spaces")])
def test_given_no_key_then_the_setting_is_named(monkeypatch, key: str, says: str) -> None:
    monkeypatch.setenv("TOPIC_KEY", key)
    with pytest.raises(ConfigError, match=r"^TOPIC_KEY: ") as error:
        send("https://topic.example", "TOPIC_KEY")
    assert says in error.value.message
    assert "TOPSECRET" not in error.value.message


def test_given_a_topic_without_encryption_then_it_is_refused() -> None:
    with pytest.raises(ValidationError, match="endpoint must be https"):
        EventGridTarget(kind="event-grid", endpoint="http://topic.example/api/events")


@pytest.fixture
def oauth(tmp_path: Path, monkeypatch) -> Iterator[OAuthServer]:
    server = OAuthServer(tmp_path)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    forget_tokens()
    yield server
    server.stop()
    forget_tokens()


@pytest.mark.long
def test_given_no_key_setting_then_the_apps_identity_gets_a_token(topic, oauth) -> None:
    with serving_json(topic.answer) as url:
        send(url, None)
    assert topic.taken == [ENDED]
    assert oauth.scopes == ["https://eventgrid.azure.net/.default"]


@pytest.mark.long
def test_given_a_token_refused_early_then_once_more_with_a_new_one(topic, oauth) -> None:
    topic.refused = {"token-1"}
    with serving_json(topic.answer) as url:
        send(url, None)
    assert topic.tokens == ["token-1", "token-2"]
    assert topic.taken == [ENDED]


@pytest.mark.long
def test_given_a_topic_refusing_every_token_then_the_role_is_named(topic, oauth) -> None:
    topic.refused = {"token-1", "token-2", "token-3"}
    with serving_json(topic.answer) as url, pytest.raises(ConfigError, match="EventGrid Data Sender"):
        send(url, None)
    assert topic.tokens == ["token-1", "token-2"]


@pytest.mark.long
def test_given_no_token_at_all_then_no_secret_in_the_message(topic, oauth) -> None:
    oauth.broken = True
    with serving_json(topic.answer) as url, pytest.raises(ConfigError, match="event") as error:
        send(url, None)
    assert topic.tokens == []
    assert SECRET not in error.value.message
