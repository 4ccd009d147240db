"""Notifications as messages in a Slack channel, by an incoming webhook.

Sources: docs.slack.dev: "Sending messages using incoming webhooks" (a POST of JSON to a secret URL; 400
`invalid_payload`, 403 `action_prohibited`, 404 `no_service` or `channel_not_found`, 410
`channel_is_archived`, 429 with Retry-After), "Block Kit" (50 blocks, 150 characters in a header, 3,000 in a
text, 10 fields of 2,000 in a section), "Formatting message text" (`&`, `<` and `>` are escaped).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

from mobexport.targets.parts.chat import ChatTarget

if TYPE_CHECKING:
    from mobexport.targets.parts.card import Card

MAX_BLOCKS: Final = 50
MAX_HEADER: Final = 150
MAX_TEXT: Final = 3000
MAX_FIELD: Final = 2000
MAX_FIELDS: Final = 10


class SlackTarget(ChatTarget):
    """`kind = "slack"`: a message by an incoming webhook."""

    kind: Literal["slack"]
    service = "Slack"
    webhook = "Slack webhook"

    def render(self, card: Card) -> bytes:
        return json.dumps(make_message(card), ensure_ascii=False).encode()

    def remedies(self) -> dict[int, str]:
        anew = f"make a new incoming webhook, and put its URL into {self.url_setting}"
        return {
            400: "it does not take this message (invalid_payload); please report it",
            401: anew,
            403: f"the workspace lets it post no more (action_prohibited): ask its owners, or {anew}",
            404: f"the webhook or its channel is gone (no_service): {anew}",
            410: f"its channel is archived (channel_is_archived): open it again, or {anew}",
        }


def make_message(card: Card) -> dict[str, Any]:
    """The message as Block Kit, with a text for where blocks are not shown; pure."""
    from mobexport.targets.parts.card import cut

    summary = " ".join((card.heading, *card.lines[:1]))
    return {
        "text": cut(summary, MAX_TEXT, escape),
        "blocks": list(_blocks(card))[:MAX_BLOCKS],
        # A link in a message would otherwise be fetched by Slack.
        "unfurl_links": False,
        "unfurl_media": False,
    }


def escape(text: str) -> str:
    """Text as Slack's markup shows it as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _blocks(card: Card) -> Iterator[dict[str, Any]]:
    from mobexport.targets.parts.card import cut

    # Plain text is not markup: nothing to escape.
    title = {"type": "plain_text", "text": cut(card.heading, MAX_HEADER, str), "emoji": False}
    yield {"type": "header", "text": title}
    fields = [
        _markup(f"*{escape(label)}*\n{cut(value, MAX_FIELD - len(label) - 20, escape)}")
        for label, value in card.facts
    ]
    for first in range(0, len(fields), MAX_FIELDS):
        yield {"type": "section", "fields": fields[first : first + MAX_FIELDS]}
    for line in card.lines:
        yield {"type": "section", "text": _markup(cut(line, MAX_TEXT, escape))}
    if card.link:
        yield {"type": "context", "elements": [_markup(f"<{escape(card.link)}|Status>")]}


def _markup(text: str) -> dict[str, Any]:
    # Verbatim: what looks like a link, a channel or a name in a text from outside is none.
    return {"type": "mrkdwn", "text": text, "verbatim": True}
