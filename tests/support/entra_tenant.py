"""A tenant of Entra ID as far as its tokens go: keys of its own, and a server that publishes them."""

import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

TENANT = "0a0a0a0a-1111-4222-8333-444444444444"
AUDIENCE = "0b0b0b0b-1111-4222-8333-444444444444"
CLIENT = "0c0c0c0c-1111-4222-8333-444444444444"
METADATA = {
    "1.0": f"/{TENANT}/.well-known/openid-configuration",
    "2.0": f"/{TENANT}/v2.0/.well-known/openid-configuration",
}


class EntraTenant:
    """Makes tokens, and serves metadata and keys on the loopback interface while in a `with` block.

    `down` makes it answer 500, `raw` these bytes (gzip by their beginning), `hold` nothing while cleared;
    `more_keys` stand beside its own; `requests` are the paths it was asked for.
    """

    def __init__(self) -> None:
        self.down = False
        self.raw: bytes | None = None
        self.hold = threading.Event()
        self.hold.set()
        self.more_keys: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.rotate("key-1")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def settings(self) -> dict[str, str]:
        """App settings of an Export API that trusts this tenant."""
        return {
            "EXPORT_API_AUTH": "entra",
            "EXPORT_API_TENANT_ID": TENANT,
            "EXPORT_API_AUDIENCE": f"api://{AUDIENCE}, {AUDIENCE}",
            "EXPORT_API_AUTHORITY": self.url,
        }

    def rotate(self, kid: str) -> None:
        """From now on another key signs, and only that one is published."""
        self.keys = {kid: rsa.generate_private_key(public_exponent=65537, key_size=2048)}

    def issuer(self, version: str) -> str:
        return f"https://sts.windows.net/{TENANT}/" if version == "1.0" else f"{self.url}/{TENANT}/v2.0"

    def claims(self, version: str = "2.0", **changes: Any) -> dict[str, Any]:
        """What a good token says; a claim that is changed to None is left out."""
        now = int(time.time())
        own = {"appid": CLIENT} if version == "1.0" else {"azp": CLIENT}
        audience = f"api://{AUDIENCE}" if version == "1.0" else AUDIENCE
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": self.issuer(version),
            "tid": TENANT,
            "iat": now - 10,
            "nbf": now - 10,
            "exp": now + 3600,
            "ver": version,
            **own,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, version: str = "2.0", **changes: Any) -> str:
        """A good token, or one with changed claims, signed with the present key."""
        return self.sign(self.claims(version, **changes))

    def sign(self, claims: dict[str, Any], kid: str | None = None, **header: Any) -> str:
        """Any claims under the present key; `kid` is what the header says."""
        name, key = next(iter(self.keys.items()))
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": kid or name, **header})

    def public_pem(self) -> bytes:
        key = next(iter(self.keys.values()))
        return key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def _answer(self, path: str) -> dict[str, Any] | None:
        for version, metadata in METADATA.items():
            if path == metadata:
                return {"issuer": self.issuer(version), "jwks_uri": f"{self.url}/keys"}
        if path != "/keys":
            return None
        public = [
            {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}
            for kid, key in self.keys.items()
        ]
        return {
            "keys": [
                {"kty": "EC", "kid": "other", "crv": "P-256"},
                {"kty": "RSA", "kid": "bad"},
                *self.more_keys,
                *public,
            ]
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        tenant = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                tenant.requests.append(self.path)
                tenant.hold.wait(20)
                found = None if tenant.down else tenant._answer(self.path)
                body = json.dumps(found).encode() if tenant.raw is None else tenant.raw
                self.send_response(500 if tenant.down else 404 if found is None else 200)
                if body.startswith(b"\x1f\x8b"):
                    self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Length", str(len(body)))
                with suppress(OSError):  # whoever asked has read enough
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
