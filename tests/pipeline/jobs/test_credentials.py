"""Tokens from azure-identity, fetched from a local OAuth server over TLS, and what if they are refused."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from oauth_server import SECRET, TENANT, OAuthServer, send_json

from mobexport.config import Endpoint, Source
from mobexport.credentials import forget_tokens
from mobexport.errors import ConfigError, Transient
from mobexport.pipeline.jobs.export_api_client import ExportApiClient

JOB = {"id": "t1", "state": "Queued"}


class Servers:
    """An OAuth server over TLS, and an Export API that admits some of its tokens."""

    def __init__(self, folder: Path) -> None:
        self.seen: list[str] = []
        self.refused: set[str] = set()
        self.oauth = OAuthServer(folder)
        servers = self

        class Api(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                servers.seen.append(token)
                if token in servers.refused or not token:
                    error = {"code": "AuthenticationFailed", "message": f"no {token}"}
                    send_json(self, 401, {"error": error})
                else:
                    send_json(self, 200, JOB)

            def log_message(self, *args: object) -> None: ...

        self._api = ThreadingHTTPServer(("127.0.0.1", 0), Api)
        self.api_url = f"http://127.0.0.1:{self._api.server_address[1]}"
        threading.Thread(target=self._api.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def tokens(self) -> list[dict[str, list[str]]]:
        return self.oauth.tokens

    def stop(self) -> None:
        self.oauth.stop()
        self._api.shutdown()
        self._api.server_close()


@pytest.fixture
def servers(tmp_path, monkeypatch) -> Iterator[Servers]:
    found = Servers(tmp_path)
    for name, value in found.oauth.environment.items():
        monkeypatch.setenv(name, value)
    forget_tokens()
    yield found
    forget_tokens()
    found.stop()


@pytest.fixture
def client(servers) -> ExportApiClient:
    return ExportApiClient(Endpoint(servers.api_url, "api://export/.default", "source.scope", Source()))


def test_given_a_scope_then_its_token_is_fetched_once_over_tls(servers, client, make_request) -> None:
    for _ in range(3):
        assert client.status(make_request(), "t1").id == "t1"
    assert servers.seen == ["token-1"] * 3
    (asked,) = servers.tokens
    assert asked["path"] == [f"/{TENANT}/oauth2/v2.0/token"]
    assert "scope=api%3A%2F%2Fexport%2F.default" in asked["body"][0]


def test_given_a_token_refused_early_then_one_more_call_with_a_new_one(servers, client, make_request) -> None:
    servers.refused = {"token-1"}
    assert client.status(make_request(), "t1").id == "t1"
    assert servers.seen == ["token-1", "token-2"]


def test_given_an_api_refusing_every_token_then_config_error_no_retry(servers, client, make_request) -> None:
    servers.refused = {"token-1", "token-2", "token-3"}
    with pytest.raises(ConfigError, match=r"source\.scope") as raised:
        client.status(make_request(), "t1")
    assert servers.seen == ["token-1", "token-2"]
    assert not raised.value.retryable


def test_given_an_identity_without_a_token_then_setting_but_no_secret(servers, client, make_request) -> None:
    servers.oauth.broken = True
    with pytest.raises(ConfigError, match=r"source\.scope: no token") as raised:
        client.status(make_request(), "t1")
    assert SECRET not in str(raised.value)
    assert servers.seen == []


@pytest.mark.long
def test_given_an_untrusted_oauth_server_then_no_secret_is_sent_to_it(
    servers, client, make_request, monkeypatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(Transient, match="no token could be fetched"):
        client.status(make_request(), "t1")
    assert servers.tokens == []


@pytest.mark.long
def test_given_an_oauth_server_that_is_down_then_the_call_is_retryable(servers, client, make_request) -> None:
    servers.oauth.stop()
    with pytest.raises(Transient, match="no token could be fetched"):
        client.status(make_request(), "t1")
