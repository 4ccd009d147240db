"""Notifications as a signed POST, as https://www.standardwebhooks.com (specification 1.0) says."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AnyHttpUrl, model_validator

from mobexport.failure_policy import Peer
from mobexport.named_secret import NamedSecret, secret_url, signing_secret
from mobexport.standard_webhooks import signed_headers
from mobexport.targets.model import Target, check_https

if TYPE_CHECKING:
    from mobexport.storage import DataStorage


class WebhookTarget(Target):
    """`kind = "webhook"`: a POST signed as Standard Webhooks says."""

    kind: Literal["webhook"]
    url: AnyHttpUrl | None = None
    url_setting: str | None = None
    """Instead of `url`: name of the setting that holds it, for a URL with a secret in it."""
    secret_setting: str
    """Name of the setting that holds the signing secret, `whsec_` and base64."""

    @model_validator(mode="after")
    def _one_url(self) -> WebhookTarget:
        if (self.url is None) == (self.url_setting is None):
            raise ValueError("set either url or url_setting")
        check_https("url", self.url)
        return self

    def send(self, event: Mapping[str, Any], storage: DataStorage) -> None:  # noqa: ARG002 - for kinds that need it
        """One POST, signed."""
        from mobexport.targets.parts.posting import post

        body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        signing, *url = (secret.read("a webhook") for secret in self.secrets())
        signed = signed_headers(signing, str(event["id"]), int(time.time()), body)
        headers = {"Content-Type": "application/cloudevents+json; charset=utf-8", **signed}
        post(str(self.url or url[0]), body, headers, to="the webhook", peer=Peer.WEBHOOK)

    def secrets(self) -> tuple[NamedSecret, ...]:
        url = (secret_url(self.url_setting, "URL of the webhook"),) if self.url_setting else ()
        return (signing_secret(self.secret_setting), *url)
