"""Tokens from azure-identity, fetched from a local OAuth server over TLS, and what if they are refused."""

import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mobexport.config import Endpoint, Source
from mobexport.errors import ConfigError, Transient
from mobexport.pipeline.export_api_client import ExportApiClient
from mobexport.pipeline.tokens import forget_tokens

TENANT = "11111111-2222-3333-4444-555555555555"
SECRET = "TOPSECRET-client-secret"
JOB = {"id": "t1", "state": "Queued"}


class Servers:
    """An OAuth server over TLS that hands out numbered tokens, and an Export API that admits some of them."""

    def __init__(self, folder: Path) -> None:
        self.tokens: list[dict[str, list[str]]] = []
        self.seen: list[str] = []
        self.refused: set[str] = set()
        self.broken = False
        servers = self

        class OAuth(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                base = f"{servers.authority}/{TENANT}"
                self._send(
                    200,
                    {
                        "issuer": f"{base}/v2.0",
                        "token_endpoint": f"{base}/oauth2/v2.0/token",
                        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    },
                )

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                servers.tokens.append({"body": [body], "path": [self.path]})
                if servers.broken:
                    self._send(401, {"error": "invalid_client", "error_description": f"wrong: {SECRET}"})
                    return
                token = f"token-{len(servers.tokens)}"
                self._send(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600})

            def _send(self, status: int, answer: object) -> None:
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args: object) -> None: ...

        class Api(OAuth):
            def do_GET(self) -> None:
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                servers.seen.append(token)
                if token in servers.refused or not token:
                    self._send(401, {"error": {"code": "AuthenticationFailed", "message": f"no {token}"}})
                else:
                    self._send(200, JOB)

        self._oauth, self._api = (ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (OAuth, Api))
        self.certificate = folder / "certificate.pem"
        key = _certificate(self.certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._oauth.socket = context.wrap_socket(self._oauth.socket, server_side=True)
        self.authority = f"https://localhost:{self._oauth.server_address[1]}"
        self.api_url = f"http://127.0.0.1:{self._api.server_address[1]}"
        for server in (self._oauth, self._api):
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop_oauth(self) -> None:
        self._oauth.shutdown()
        self._oauth.server_close()

    def stop(self) -> None:
        for server in (self._oauth, self._api):
            server.shutdown()
            server.server_close()


def _certificate(path: Path) -> Path:
    """A certificate for localhost that signs itself, made for this test; the path of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = path.with_suffix(".key")
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return secret


@pytest.fixture
def servers(tmp_path, monkeypatch) -> Iterator[Servers]:
    found = Servers(tmp_path)
    for name, value in {
        "AZURE_AUTHORITY_HOST": found.authority,
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": "66666666-7777-8888-9999-000000000000",
        "AZURE_CLIENT_SECRET": SECRET,
        "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
        "REQUESTS_CA_BUNDLE": str(found.certificate),
        "NO_PROXY": "localhost,127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    forget_tokens()
    yield found
    forget_tokens()
    found.stop()


@pytest.fixture
def client(servers) -> ExportApiClient:
    return ExportApiClient(Endpoint(servers.api_url, "api://export/.default", "source.scope", Source()))


def test_given_a_scope_when_called_then_a_token_of_it_over_tls_fetched_once(
    servers, client, make_request
) -> None:
    for _ in range(3):
        assert client.status(make_request(), "t1").id == "t1"
    assert servers.seen == ["token-1"] * 3
    (asked,) = servers.tokens
    assert asked["path"] == [f"/{TENANT}/oauth2/v2.0/token"]
    assert "scope=api%3A%2F%2Fexport%2F.default" in asked["body"][0]


def test_given_a_token_refused_before_it_expires_when_called_then_once_more_with_a_new_one(
    servers, client, make_request
) -> None:
    servers.refused = {"token-1"}
    assert client.status(make_request(), "t1").id == "t1"
    assert servers.seen == ["token-1", "token-2"]


def test_given_an_api_that_refuses_every_token_when_called_then_configuration_and_no_more_tries(
    servers, client, make_request
) -> None:
    servers.refused = {"token-1", "token-2", "token-3"}
    with pytest.raises(ConfigError, match=r"source\.scope") as raised:
        client.status(make_request(), "t1")
    assert servers.seen == ["token-1", "token-2"]
    assert not raised.value.retryable


def test_given_an_identity_that_gets_no_token_when_called_then_the_setting_is_named_and_no_secret(
    servers, client, make_request
) -> None:
    servers.broken = True
    with pytest.raises(ConfigError, match=r"source\.scope: no token") as raised:
        client.status(make_request(), "t1")
    assert SECRET not in str(raised.value)
    assert servers.seen == []


def test_given_an_oauth_server_that_is_not_trusted_when_called_then_no_secret_is_sent_to_it(
    servers, client, make_request, monkeypatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(Transient, match="no token could be fetched"):
        client.status(make_request(), "t1")
    assert servers.tokens == []


def test_given_an_oauth_server_that_is_down_when_called_then_tried_again_since_it_may_come_back(
    servers, client, make_request
) -> None:
    servers.stop_oauth()
    with pytest.raises(Transient, match="no token could be fetched"):
        client.status(make_request(), "t1")
