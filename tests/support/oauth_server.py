"""An OAuth server like Entra ID's token endpoint, over TLS with a certificate of its own: a test double."""

import datetime
import ipaddress
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TENANT = "11111111-2222-3333-4444-555555555555"
SECRET = "TOPSECRET-client-secret"


class OAuthServer:
    """Hands out numbered tokens, `token-1` and so on; `scopes` are those asked for, in order."""

    def __init__(self, folder: Path) -> None:
        self.tokens: list[dict[str, list[str]]] = []
        self.broken = False
        oauth = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                base = f"{oauth.authority}/{TENANT}"
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
                oauth.tokens.append({"body": [body], "path": [self.path]})
                if oauth.broken:
                    self._send(401, {"error": "invalid_client", "error_description": f"wrong: {SECRET}"})
                    return
                token = f"token-{len(oauth.tokens)}"
                self._send(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600})

            def _send(self, status: int, answer: object) -> None:
                send_json(self, status, answer)

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.certificate = folder / "certificate.pem"
        key = _certificate(self.certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.authority = f"https://localhost:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What makes azure-identity ask this server."""
        return {
            "AZURE_AUTHORITY_HOST": self.authority,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": "66666666-7777-8888-9999-000000000000",
            "AZURE_CLIENT_SECRET": SECRET,
            "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
            "REQUESTS_CA_BUNDLE": str(self.certificate),
            "NO_PROXY": "localhost,127.0.0.1",
        }

    @property
    def scopes(self) -> list[str]:
        """The scope of each token, in the tokens' order."""
        return [parse_qs(asked["body"][0])["scope"][0] for asked in self.tokens]

    def stop(self) -> None:
        """No more tokens."""
        self._server.shutdown()
        self._server.server_close()


def send_json(handler: BaseHTTPRequestHandler, status: int, answer: Any) -> None:
    """A JSON answer of a test server."""
    text = json.dumps(answer).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text)


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
