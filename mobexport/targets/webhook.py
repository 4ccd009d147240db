"""Notifications as a signed POST, as https://www.standardwebhooks.com (specification 1.0) says."""

from __future__ import annotations

import binascii
import json
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind
from pydantic import AnyHttpUrl, SecretStr, model_validator

from mobexport.errors import ConfigError
from mobexport.failure_policy import Peer, as_error, on_status
from mobexport.settings import is_loopback
from mobexport.standard_webhooks import signed_headers
from mobexport.targets.model import Target
from mobexport.telemetry import tracing

if TYPE_CHECKING:
    from mobexport.storage import DataStorage

_SECONDS = 30.0


class WebhookTarget(Target):
    """`kind = "webhook"`: a POST signed as Standard Webhooks says."""

    kind: Literal["webhook"]
    url: AnyHttpUrl
    secret_setting: str
    """Name of the setting that holds the signing secret, `whsec_` and base64."""

    @model_validator(mode="after")
    def _encrypted(self) -> WebhookTarget:
        if self.url.scheme != "https" and not is_loopback(str(self.url)):
            raise ValueError("url must be https (http only for loopback)")
        return self

    def send(self, event: Mapping[str, Any], storage: DataStorage) -> None:  # noqa: ARG002 - for kinds that need it
        """One POST, signed; redirects are not followed, and of the answer nothing but its status is read."""
        from mobexport.http_calls import CallFailed, call

        body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        secret = self._secret().get_secret_value()
        try:
            signed = signed_headers(secret, str(event["id"]), int(time.time()), body)
        except (ValueError, binascii.Error):
            raise ConfigError(f"{self.secret_setting}: must be whsec_ followed by base64") from None
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            **signed,
        }
        url = str(self.url)
        # Host alone: many a webhook has its secret in the path.
        about: dict[str, str | int] = {"server.address": urlsplit(url).hostname or ""}
        with tracing.span("POST webhook", kind=SpanKind.CLIENT, attributes=about) as span:
            headers |= tracing.headers()
            try:
                answer = call("POST", url, seconds=_SECONDS, most=None, data=body, headers=headers)
            except CallFailed as failed:
                message = f"the webhook cannot be reached: {failed.reason}"
                raise as_error(failed.decision, message) from None
            status = answer.status
            span.set_attribute("http.response.status_code", status)
            if not 200 <= status < 300:
                raise as_error(
                    on_status(status, Peer.WEBHOOK),
                    f"the webhook answered HTTP {status}",
                    status=status,
                    retry_after=answer.retry_after,
                )

    def _secret(self) -> SecretStr:
        value = os.environ.get(self.secret_setting, "")
        if not value:
            raise ConfigError(f"{self.secret_setting}: set the webhook's signing secret (whsec_… in base64)")
        return SecretStr(value)
