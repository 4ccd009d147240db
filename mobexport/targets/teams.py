"""Notifications as Adaptive Cards in Microsoft Teams, by a webhook of its Workflows.

Sources: support.microsoft.com: "Create incoming webhooks with Workflows for Microsoft Teams" (it answers
202); learn.microsoft.com: "Create and send messages" (an Adaptive Card as the attachment of a message, about
28 KB); adaptivecards.io, schema 1.4 (text runs of a `RichTextBlock` know no Markdown, unlike a `TextBlock`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

from mobexport.targets.parts.chat import ChatTarget

if TYPE_CHECKING:
    from mobexport.targets.parts.card import Card

MAX_BYTES: Final = 24 * 1024
"""Teams says about 28 KB."""
MAX_TITLE: Final = 150
# Facts, lines and characters of each: the first that fits.
_SIZES: Final = ((20, 26, 1000), (20, 26, 300), (20, 26, 100), (10, 10, 60))
_COLOURS: Final = {"GOOD": "good", "WARNING": "warning", "BAD": "attention", "PLAIN": "default"}


class TeamsTarget(ChatTarget):
    """`kind = "teams"`: a card by a webhook of Workflows."""

    kind: Literal["teams"]
    service = "Teams"
    webhook = "Teams workflow"

    def render(self, card: Card) -> bytes:
        return make_body(card)

    def remedies(self) -> dict[int, str]:
        anew = f"make a new one, and put its URL into {self.url_setting}"
        refused = (
            "the workflow does not let this URL in: choose Anyone as who can trigger it,"
            f" copy its URL into {self.url_setting} anew"
        )
        return {
            400: "the workflow does not take the card, or is turned off: look at its runs in Power Automate",
            401: refused,
            403: refused,
            404: f"the workflow is gone: {anew}",
            410: f"the webhook is retired: {anew}",
        }


def make_body(card: Card) -> bytes:
    """The message as Teams takes it, cut until it fits; pure."""
    for facts, lines, characters in _SIZES:
        body = json.dumps(_message(card, facts, lines, characters), ensure_ascii=False).encode()
        if len(body) <= MAX_BYTES:
            break
    return body


def _message(card: Card, facts: int, lines: int, characters: int) -> dict[str, Any]:
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": list(_body(card, facts, lines, characters)),
        "actions": [{"type": "Action.OpenUrl", "title": "Status", "url": card.link}] if card.link else [],
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": content,
    }
    return {"type": "message", "attachments": [attachment]}


def _body(card: Card, facts: int, lines: int, characters: int) -> Iterator[dict[str, Any]]:
    colour = _COLOURS[card.mood.name]
    yield _text(card.heading, MAX_TITLE, size="large", weight="bolder", color=colour)
    for label, value in card.facts[:facts]:
        columns = (("90px", _text(label, characters, isSubtle=True)), ("stretch", _text(value, characters)))
        yield {
            "type": "ColumnSet",
            "spacing": "small",
            "columns": [{"type": "Column", "width": width, "items": [item]} for width, item in columns],
        }
    for line in card.lines[:lines]:
        yield _text(line, characters)


def _text(text: str, most: int, **style: Any) -> dict[str, Any]:
    from mobexport.targets.parts.card import cut

    run = {"type": "TextRun", "text": cut(text, most, _plain), **style}
    return {"type": "RichTextBlock", "inlines": [run]}


def _plain(text: str) -> str:
    # Cards replace {{DATE(…)}}; a character that nobody sees keeps the braces apart.
    return text.replace("{", "{\u2060")
