"""Slack and Teams: messages as the services take them, over real HTTP, and what their refusals mean."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from card_events import ENDED, HOSTILE, digest, ended, failed
from json_server import serving_json
from raw_server import RawServer, saying

from mobexport.errors import ConfigError, MobexportError, Rejected, Throttled, Transient
from mobexport.settings import read_settings
from mobexport.storage import DataStorage
from mobexport.targets import SlackTarget, Target, TeamsTarget, slack, teams
from mobexport.targets.parts.card import make_card

HOST = "exports.example.net"
CHATS = {
    "slack": SlackTarget(kind="slack", url_setting="CHAT_URL"),
    "teams": TeamsTarget(kind="teams", url_setting="CHAT_URL"),
}
PATH = "/services/T0/B0/TOPSECRET?sig=TOPSECRET"


@pytest.fixture(scope="module")
def storage() -> DataStorage:
    """Not used but for the app's host name."""
    values = {"DATA_STORAGE": "UseDevelopmentStorage=true", "EXPORT_API_SCOPE": "api://x/.default"}
    return DataStorage(read_settings({**values, "WEBSITE_HOSTNAME": HOST}))


@pytest.fixture
def deliver(monkeypatch, storage) -> Callable[[Target, dict[str, Any]], dict[str, Any]]:
    """Sends an event to a receiver of this test, and returns what arrived."""

    def send(target: Target, event: dict[str, Any]) -> dict[str, Any]:
        taken: list[Any] = []

        def answer(*request: Any) -> tuple[int, str]:
            taken.append(request)
            return 200, "ok"

        with serving_json(answer) as url:
            monkeypatch.setenv("CHAT_URL", url + PATH)
            target.send(event, storage)
        ((method, path, headers, body),) = taken
        assert (method, path) == ("POST", PATH)
        assert headers["content-type"] == "application/json; charset=utf-8"
        found = json.loads(body)
        assert isinstance(found, dict)
        return {**found, "bytes": len(body)}

    return send


def texts(value: Any) -> Iterator[str]:
    """Every text in a message."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from texts(one)


def test_given_an_export_when_sent_to_slack_then_block_kit_says_it(deliver) -> None:
    sent = deliver(CHATS["slack"], ENDED)
    header, facts, context = sent["blocks"]
    title = "\N{WARNING SIGN}\N{VARIATION SELECTOR-16} Event export of com.example.shop succeeded"
    assert header == {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}}
    assert facts["fields"][5] == {"type": "mrkdwn", "text": "*Rows*\n1,200", "verbatim": True}
    (link,) = context["elements"]
    assert link["text"] == f"<https://{HOST}/api/exports/event-shop-20250323-1|Status>"
    assert sent["text"] == title


def test_given_an_export_when_sent_to_teams_then_a_card_in_its_envelope(deliver) -> None:
    sent = deliver(CHATS["teams"], failed("no route to host"))
    assert sent["type"] == "message"
    (attachment,) = sent["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert card["body"][0]["inlines"][0]["color"] == "attention"
    assert "Remote: no route to host" in set(texts(card))
    (action,) = card["actions"]
    assert action["url"] == f"https://{HOST}/api/exports/event-shop-20250323-1"
    # A text block would read Markdown in what came from outside.
    assert '"TextBlock"' not in json.dumps(card)


def hostile_events(text: str) -> list[dict[str, Any]]:
    error = {"code": text, "message": text}
    return [
        ended(app=text, exportType=text, exportId=text, state=text, window=[text, text], error=error),
        digest(50, exportType=text, empty=text),
    ]


@pytest.mark.parametrize("kind", HOSTILE)
def test_given_texts_from_outside_then_slack_shows_them_within_its_limits(kind: str, deliver) -> None:
    for event in hostile_events(HOSTILE[kind]):
        sent = deliver(CHATS["slack"], event)
        assert len(sent["blocks"]) <= slack.MAX_BLOCKS
        assert len(sent["text"]) <= slack.MAX_TEXT
        for block in sent["blocks"]:
            assert len(block.get("fields", [])) <= slack.MAX_FIELDS
            assert all(len(one["text"]) <= slack.MAX_FIELD for one in block.get("fields", []))
            if block["type"] == "section" and "text" in block:
                assert len(block["text"]["text"]) <= slack.MAX_TEXT
        assert len(sent["blocks"][0]["text"]["text"]) <= slack.MAX_HEADER
        markup = [one for block in sent["blocks"][1:] for one in texts(block)]
        # The only thing in angle brackets is our own link.
        assert sum(one.count("<") for one in markup) == ("|Status>" in "".join(markup))
        assert "TOPSECRET" not in json.dumps(sent)


@pytest.mark.parametrize("kind", HOSTILE)
def test_given_texts_from_outside_then_teams_shows_them_within_its_limit(kind: str, deliver) -> None:
    for event in hostile_events(HOSTILE[kind]):
        sent = deliver(CHATS["teams"], event)
        assert sent["bytes"] <= teams.MAX_BYTES
        found = list(texts(sent))
        assert all(one.isprintable() or "\u2060" in one for one in found)
        assert not [one for one in found if "{{" in one or "TOPSECRET" in one]


def test_given_the_largest_card_then_it_is_cut_until_it_fits() -> None:
    wide = "\U0001f525" * 5000
    card = make_card(digest(500, exportType=wide, empty=wide), f"https://{HOST}/api")
    assert sum(len(line.encode()) for line in card.lines) > teams.MAX_BYTES
    assert 4 * 1024 < len(teams.make_body(card)) <= teams.MAX_BYTES


@pytest.mark.parametrize("kind", CHATS)
@pytest.mark.parametrize(
    ("status", "raised", "says"),
    [
        (400, Rejected, "HTTP 400: "),
        (401, ConfigError, "CHAT_URL"),
        (403, ConfigError, "HTTP 403: "),
        (404, ConfigError, "CHAT_URL"),
        (410, ConfigError, "HTTP 410: "),
        (429, Throttled, "HTTP 429"),
        (500, Transient, "HTTP 500"),
        (503, Throttled, "HTTP 503"),
    ],
)
def test_given_a_refusal_then_final_or_not_and_what_to_do(
    kind: str, status: int, raised: type[MobexportError], says: str, storage, monkeypatch
) -> None:
    busy = f"HTTP/1.1 {status} X\r\nContent-Length: 10\r\nRetry-After: 30\r\n\r\nno_service".encode()
    with RawServer(saying(busy)) as server:
        monkeypatch.setenv("CHAT_URL", server.url.rstrip("/") + PATH)
        with pytest.raises(raised) as error:
            CHATS[kind].send(ENDED, storage)
    message = error.value.message
    assert says in message
    assert "TOPSECRET" not in message
    assert "127.0.0.1" not in message
    if isinstance(error.value, Throttled):
        assert error.value.retry_after == 30


@pytest.mark.parametrize("kind", CHATS)
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "set the URL of the "),
        ("hooks.slack.com/services/TOPSECRET", "must be a whole https:// URL"),
        ("http://hooks.slack.com/TOPSECRET", "must be a whole https:// URL"),
        ("https://hooks.slack.com/TOPSECRET ", "must be a whole https:// URL"),
        ("https://[TOPSECRET", "must be a whole https:// URL"),
        ("@Microsoft.KeyVault(VaultName=TOPSECRET)", "has not read it from the vault"),
    ],
)
def test_given_a_setting_that_holds_no_url_then_it_is_named_not_repeated(
    kind: str, url: str, says: str, storage, monkeypatch
) -> None:
    monkeypatch.setenv("CHAT_URL", url)
    with pytest.raises(ConfigError, match=r"^CHAT_URL: ") as error:
        CHATS[kind].send(ENDED, storage)
    assert says in error.value.message
    assert "TOPSECRET" not in error.value.message
