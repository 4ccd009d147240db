"""Notifications as events of an Azure Event Grid topic, in the schema CloudEvents 1.0.

Sources: learn.microsoft.com/azure/event-grid: "Publish events to custom topics using access keys" (POST to
the endpoint with `api-version=2018-01-01` and `aeg-sas-key`; 1 MB), "Authenticate publishing clients using
Microsoft Entra ID" (scope `https://eventgrid.azure.net/.default`, role EventGrid Data Sender), "CloudEvents
schema"; the CloudEvents HTTP binding 1.0 (structured mode: `application/cloudevents+json`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

from pydantic import AnyHttpUrl, model_validator

from mobexport.failure_policy import Peer
from mobexport.named_secret import NamedSecret, access_key
from mobexport.targets.model import Target, check_https

if TYPE_CHECKING:
    from mobexport.storage import DataStorage

API_VERSION: Final = "2018-01-01"
SCOPE: Final = "https://eventgrid.azure.net/.default"
_WHERE: Final = "an Event Grid target without key_setting"


class EventGridTarget(Target):
    """`kind = "event-grid"`: an event of a custom topic."""

    kind: Literal["event-grid"]
    endpoint: AnyHttpUrl
    """Of the topic, as Azure shows it: `https://…/api/events`."""
    key_setting: str | None = None
    """Name of the setting that holds an access key of the topic; none: the app's identity."""

    @model_validator(mode="after")
    def _encrypted(self) -> EventGridTarget:
        check_https("endpoint", self.endpoint)
        return self

    def send(self, event: Mapping[str, Any], storage: DataStorage) -> None:  # noqa: ARG002 - for kinds that need it
        """One event; its id is the same in each repetition, and subscribers go by it."""
        from mobexport.targets.parts.posting import post

        body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        post(
            self.url,
            body,
            self._headers(),
            to="Event Grid",
            peer=Peer.MESSAGING,
            remedies=self._remedies(),
            renewed=None if self.key_setting else self._renewed,
        )

    @property
    def url(self) -> str:
        """The endpoint with the version of the API."""
        parts = urlsplit(str(self.endpoint))
        path = parts.path if parts.path.strip("/") else "/api/events"
        return urlunsplit(parts._replace(path=path, query=urlencode({"api-version": API_VERSION})))

    def secrets(self) -> tuple[NamedSecret, ...]:
        return (access_key(self.key_setting),) if self.key_setting else ()

    def _headers(self) -> dict[str, str]:
        from mobexport.credentials import get_token

        plain = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
        if self.key_setting:
            return {**plain, "aeg-sas-key": access_key(self.key_setting).read("an Event Grid target")}
        return {**plain, "Authorization": f"Bearer {get_token(SCOPE, _WHERE)}"}

    def _renewed(self) -> dict[str, str]:
        from mobexport.credentials import forget_tokens

        forget_tokens()
        return self._headers()

    def _remedies(self) -> dict[int, str]:
        allow = (
            f"put a key of this topic into {self.key_setting}"
            if self.key_setting
            else "give the app's identity the role EventGrid Data Sender on the topic"
        )
        return {
            400: "the topic does not take CloudEvents: its input schema must be CloudEvents 1.0",
            401: allow,
            403: f"{allow}, and let its network in",
            404: "there is no such topic: correct endpoint in exports.toml",
            410: "there is no such topic: correct endpoint in exports.toml",
            413: "the event is larger than 1 MB",
        }
