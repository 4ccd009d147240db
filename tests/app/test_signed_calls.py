"""Inbound calls when REQUEST_SIGNING_SECRET is set: every call that changes something must be signed."""

import asyncio
import base64
import json
import time
from typing import Any

import azure.functions as func
import pytest
import requests
from durable_client import CLIENT

from localdev.app import App
from localdev.processes import free_ports
from mobexport.config import ExportsConfig
from mobexport.services import Services
from mobexport.settings import read_settings
from mobexport.standard_webhooks import sign
from triggers import batches, exports
from triggers.apis import CHANGE_PIPELINE

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"exportType": "Tag"}'


SETTINGS = read_settings(
    {
        "DATA_STORAGE": "UseDevelopmentStorage=true",
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "REQUEST_SIGNING_SECRET": SECRET,
    }
)
# Storage is not touched by a call that is refused.
SERVICES = Services(SETTINGS, ExportsConfig(), None)  # type: ignore[arg-type]


def request(**headers: str) -> func.HttpRequest:
    url = "http://localhost/api/exports"
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return func.HttpRequest("POST", url, headers=named, route_params={"exportId": "e"}, body=BODY)


def answer(function: Any) -> tuple[int, dict[str, Any]]:
    """What an HTTP function answers to an unsigned call; its client leads nowhere."""
    found = asyncio.run(function(SERVICES, request(), CLIENT))
    return found.status_code, json.loads(found.get_body())


def test_given_a_signed_call_when_checked_then_admitted() -> None:
    now = int(time.time())
    signed = {
        "webhook_id": "m",
        "webhook_timestamp": str(now),
        "webhook_signature": sign(SECRET, "m", now, BODY),
    }
    CHANGE_PIPELINE.check(SERVICES, request(**signed))


@pytest.mark.parametrize(
    "function",
    [exports.request_export, exports.cancel_export, batches.request_batch],
    ids=lambda function: function.__name__,
)
def test_given_an_unsigned_call_when_made_then_401_before_anything_is_done(function) -> None:
    status, problem = answer(function)
    assert status == 401
    assert "signed" in problem["detail"]


def signed_post(app: App, path: str, body: bytes, *, seconds_ago: int = 0, secret: str = SECRET) -> int:
    """Status of a call signed as standardwebhooks.com says."""
    now = int(time.time()) - seconds_ago
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": str(now),
        "webhook-signature": sign(secret, "m", now, body),
        "Content-Type": "application/json",
    }
    return requests.post(app.url + path, data=body, headers=headers, timeout=30).status_code


def test_given_a_signing_secret_then_only_signed_calls_change_anything(azurite, tmp_path) -> None:
    settings = {"REQUEST_SIGNING_SECRET": SECRET, "EXPORTS_CONFIG": str(tmp_path / "none.toml")}
    body = b'{"exportType": "Tag", "app": "signed"}'
    batch = b'{"exportTypes": ["Tag"], "app": "signed"}'
    other = "whsec_" + base64.b64encode(b"x" * 24).decode()
    with App(azurite, tmp_path, free_ports(1)[0], host="devhost", **settings) as app:
        assert app.post("/api/exports", {"exportType": "Tag", "app": "signed"})[0] == 401
        assert app.post("/api/batches", {"exportTypes": ["Tag"], "app": "signed"})[0] == 401
        assert signed_post(app, "/api/exports", body, seconds_ago=3600) == 401
        assert signed_post(app, "/api/exports", body, secret=other) == 401
        assert app.get("/api/exports?app=signed")[1]["exports"] == []
        assert signed_post(app, "/api/exports", body) == 202
        (export,) = app.get("/api/exports?app=signed")[1]["exports"]
        cancel = f"/api/exports/{export['id']}/cancel"
        assert app.post(cancel, {})[0] == 401
        assert signed_post(app, cancel, b"") in (202, 409)
        assert signed_post(app, "/api/batches", batch) == 202
        assert app.get("/api/health")[0] == 200
