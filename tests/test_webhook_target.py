"""The webhook of a stranger: its answer is its status, within a time."""

import time

import pytest
from json_server import serving_json
from raw_server import RawServer, dripping, saying

from mobexport.errors import ConfigError, Throttled, Transient
from mobexport.targets import WebhookTarget
from mobexport.targets.parts import posting

EVENT = {"id": "e/1/completed", "type": "mobexport.export.completed"}
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def send(monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    def call(url: str) -> None:
        target = WebhookTarget(kind="webhook", url=url, secret_setting="HOOK_SECRET")
        target.send(EVENT, None)  # type: ignore[arg-type]

    return call


def test_given_a_webhook_that_drips_then_its_time_ends(send, monkeypatch) -> None:
    monkeypatch.setattr(posting, "SECONDS", 0.5)
    with RawServer(dripping(OK, b"X")) as server:
        began = time.monotonic()
        with pytest.raises(Transient, match=r"no whole answer within 0\.5 seconds"):
            send(server.url)
        assert time.monotonic() - began < 5
        assert server.broken.wait(10)


def test_given_a_webhook_whose_answer_never_ends_then_its_status_counts(send) -> None:
    with RawServer(dripping(OK + b"\r\n", b"x" * 65536, seconds=0)) as server:
        send(server.url)
        assert server.broken.wait(10)
        assert server.sent < 32 * 1024 * 1024


@pytest.mark.parametrize(("asked", "seconds"), [(b"7", 7), (b"86400", 3600), (b"soon", None)])
def test_given_a_webhook_that_asks_to_wait_then_at_most_an_hour(send, asked: bytes, seconds) -> None:
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: " + asked + b"\r\n\r\n"
    with RawServer(saying(busy)) as server, pytest.raises(Throttled) as raised:
        send(server.url)
    assert raised.value.retry_after == seconds


def test_given_a_webhook_whose_url_is_a_secret_then_from_its_setting(monkeypatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    target = WebhookTarget(kind="webhook", url_setting="HOOK_URL", secret_setting="HOOK_SECRET")
    assert [secret.setting for secret in target.secrets()] == ["HOOK_SECRET", "HOOK_URL"]
    paths: list[str] = []
    with serving_json(lambda _method, path, *_: (paths.append(path) or 200, None)) as url:
        monkeypatch.setenv("HOOK_URL", f"{url}/?sig=TOPSECRET")
        target.send(EVENT, None)  # type: ignore[arg-type]
    assert paths == ["/?sig=TOPSECRET"]
    monkeypatch.setenv("HOOK_URL", "http://hooks.example/?sig=TOPSECRET")
    with pytest.raises(ConfigError, match=r"^HOOK_URL: must be a whole https:// URL") as raised:
        target.send(EVENT, None)  # type: ignore[arg-type]
    assert "TOPSECRET" not in raised.value.message
