"""The base of kinds that show a card in a channel, by a webhook whose URL is a secret."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from mobexport.failure_policy import Peer
from mobexport.named_secret import NamedSecret, secret_url
from mobexport.targets.model import Target

if TYPE_CHECKING:
    from mobexport.storage import DataStorage
    from mobexport.targets.parts.card import Card


class ChatTarget(Target):
    """A kind renders the card, and says what to do about answers."""

    service: ClassVar[str]
    """As messages call it."""
    webhook: ClassVar[str]
    """As messages call what has the URL."""

    url_setting: str
    """Name of the setting that holds the webhook's URL, which is a secret."""

    def send(self, event: Mapping[str, Any], storage: DataStorage) -> None:
        """One message; a repetition is a second one, since channels know no ids."""
        from mobexport.targets.parts.card import make_card
        from mobexport.targets.parts.posting import post

        (secret,) = self.secrets()
        url = secret.read(f"a {self.service} target")
        body = self.render(make_card(event, storage.settings.people_url))
        headers = {"Content-Type": "application/json; charset=utf-8"}
        post(url, body, headers, to=self.service, peer=Peer.MESSAGING, remedies=self.remedies())

    def secrets(self) -> tuple[NamedSecret, ...]:
        return (secret_url(self.url_setting, f"URL of the {self.webhook}"),)

    @abstractmethod
    def render(self, card: Card) -> bytes:
        """The card as JSON that the service takes."""

    @abstractmethod
    def remedies(self) -> Mapping[int, str]:
        """What somebody has to do, by the status of an answer."""
