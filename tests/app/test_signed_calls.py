"""Inbound calls when REQUEST_SIGNING_SECRET is set: every call that changes something must be signed."""

import asyncio
import base64
import json
import os
import time
import uuid
from datetime import timedelta
from typing import Any

import azure.functions as func
import pytest
import requests
from durable_client import CLIENT

from localdev.app import App
from localdev.processes import free_ports
from mobexport.clock import now as present
from mobexport.config import ExportsConfig
from mobexport.errors import Conflict, Unauthorized
from mobexport.pipeline.requests.signed_calls import SignedCalls
from mobexport.services import Services
from mobexport.settings import read_settings
from mobexport.standard_webhooks import TOLERANCE_SECONDS, call_content, sign
from mobexport.storage import DataStorage
from triggers import batches, exports, targets
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


def request(url: str = "http://localhost/api/exports", **headers: str) -> func.HttpRequest:
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return func.HttpRequest("POST", url, headers=named, route_params={"exportId": "e"}, body=BODY)


def answer(function: Any) -> tuple[int, dict[str, Any]]:
    """What an HTTP function answers to an unsigned call; its client leads nowhere."""
    found = asyncio.run(function(SERVICES, request(), CLIENT))
    return found.status_code, json.loads(found.get_body())


@pytest.fixture
def services(azurite) -> Services:
    local = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    settings = read_settings({**local, "REQUEST_SIGNING_SECRET": SECRET})
    return Services(settings, ExportsConfig(), DataStorage(settings))


def signed(message_id: str, path: str, body: bytes = BODY, method: str = "POST") -> dict[str, str]:
    now = int(time.time())
    return {
        "webhook_id": message_id,
        "webhook_timestamp": str(now),
        "webhook_signature": sign(SECRET, message_id, now, call_content(method, path, body)),
    }


def test_given_a_signed_call_then_admitted_once_on_every_instance(services) -> None:
    call = request("http://localhost/api/exports?code=key", **signed("once", "/api/exports"))
    CHANGE_PIPELINE.check(services, call)
    other_instance = Services(services.settings, services.config, DataStorage(services.settings))
    for instance in (services, other_instance):
        with pytest.raises(Conflict, match="admitted before"):
            CHANGE_PIPELINE.check(instance, call)
    CHANGE_PIPELINE.check(services, request(**signed("twice", "/api/exports")))


@pytest.mark.parametrize(
    "other",
    [
        {"path": "/api/exports/other/cancel"},
        {"path": "/api/exports", "method": "PUT"},
        {"path": "/api/exports", "body": b""},
        {"path": "/API/exports"},
        {"path": "/api/exports\n" + BODY.decode(), "body": b""},
    ],
    ids=["path", "method", "body", "case", "moved line"],
)
def test_given_a_signature_of_another_call_then_refused_and_not_kept(services, other) -> None:
    # Signed here, since a signature is good for minutes only.
    headers = signed(f"{uuid.uuid4()}", **other)
    with pytest.raises(Unauthorized, match="sign the request line"):
        CHANGE_PIPELINE.check(services, request(**headers))
    SignedCalls(services.storage).admit(headers["webhook_id"])


def test_given_any_id_then_kept_until_its_signature_has_expired(services) -> None:
    calls = SignedCalls(services.storage)
    for message_id in ("a/b#?\\", "\ud800", "x" * 5000, "\0"):
        calls.admit(message_id)
        with pytest.raises(Conflict):
            calls.admit(message_id)
    calls.purge(present() + timedelta(seconds=2 * TOLERANCE_SECONDS - 60))
    with pytest.raises(Conflict):
        calls.admit("\0")
    assert calls.purge(present() + timedelta(seconds=2 * TOLERANCE_SECONDS + 60)) >= 4
    calls.admit("\0")


@pytest.mark.parametrize(
    "function",
    [
        exports.request_export,
        exports.cancel_export,
        batches.request_batch,
        targets.resend_notification,
    ],
    ids=lambda function: function.__name__,
)
def test_given_an_unsigned_call_when_made_then_401_before_anything_is_done(function) -> None:
    status, problem = answer(function)
    assert status == 401
    assert "signed" in problem["detail"]


def signed_post(app: App, path: str, body: bytes, *, seconds_ago: int = 0, secret: str = SECRET) -> int:
    """Status of a call signed as standardwebhooks.com says."""
    now = int(time.time()) - seconds_ago
    message_id = str(uuid.uuid4())
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": sign(secret, message_id, now, call_content("POST", path, body)),
        "Content-Type": "application/json",
    }
    return requests.post(app.url + path, data=body, headers=headers, timeout=30).status_code


def test_given_a_signing_secret_then_only_signed_calls_change_anything(azurite, tmp_path) -> None:
    settings = {"REQUEST_SIGNING_SECRET": SECRET, "EXPORTS_CONFIG": os.devnull}
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
