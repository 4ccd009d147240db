"""Signing keys of a Microsoft Entra ID tenant, found through its OpenID metadata.

Source: OpenID Connect Discovery 1.0 (`/.well-known/openid-configuration`, `issuer`, `jwks_uri`) and RFC 7517
(key sets). Keys are cached for a day and fetched again when a token names an unknown one, as after a
rotation; at most once a minute, so that forged tokens cannot make this app flood the key server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from mobexport.errors import Transient
from mobexport.settings import is_loopback
from mobexport.telemetry.logs import get_logger

_log = get_logger(__name__)

KEEP_SECONDS: Final = 24 * 3600.0
PAUSE_SECONDS: Final = 60.0
_TIMEOUT: Final = (5, 10)
_MAX_ANSWER: Final = 1024 * 1024


@dataclass(frozen=True)
class Issuer:
    """An issuer and its keys, by their `kid`."""

    name: str
    """Required value of a token's `iss`."""
    keys: Mapping[str, PyJWK]


class SigningKeys:
    """The issuer behind one metadata document, fetched at first use; safe to share between threads."""

    def __init__(self, metadata_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = metadata_url
        self._clock = clock
        self._lock = threading.Lock()
        self._issuer: Issuer | None = None
        self._fetched = self._tried = float("-inf")

    def find(self, kid: str) -> tuple[str, PyJWK | None]:
        """The issuer's name and its key of that id; None for a key it does not have.

        Raises Transient, with seconds to wait, while the keys cannot be had: then nobody can say
        whether a token is good.
        """
        with self._lock:
            found = self._issuer
            known = found is not None and kid in found.keys
            stale = self._clock() - self._fetched > KEEP_SECONDS
            if found is None or stale or not known:
                found = self._refresh(known)
        return found.name, found.keys.get(kid)

    def _refresh(self, known: bool) -> Issuer:
        """The newest issuer that can be had. An old key stays good while its server is down."""
        before = self._issuer
        wait = PAUSE_SECONDS - (self._clock() - self._tried)
        if wait <= 0:
            self._tried = self._clock()
            try:
                self._issuer = fetch_issuer(self._url)
            except Transient as error:
                _log.warning("signing keys: %s", error.message)
            else:
                self._fetched = self._clock()
                return self._issuer
            wait = PAUSE_SECONDS
        # Without an answer since the last try an unknown key may be a new one; after one it is made up.
        if before is not None and (known or self._fetched >= self._tried):
            return before
        raise Transient(
            "the signing keys of Entra ID cannot be fetched, so no token can be checked; try again later",
            retry_after=wait,
        )


def fetch_issuer(metadata_url: str) -> Issuer:
    """Metadata, then keys. Raises Transient for every unusable answer."""
    metadata = _get_object(metadata_url)
    name, keys_url = metadata.get("issuer"), metadata.get("jwks_uri")
    if not isinstance(name, str) or not isinstance(keys_url, str):
        raise Transient("the OpenID metadata has no issuer or no jwks_uri")
    if not keys_url.startswith("https://") and not (is_loopback(keys_url) and is_loopback(metadata_url)):
        raise Transient("the jwks_uri of the OpenID metadata is not https")
    keys = {}
    for item in _get_object(keys_url).get("keys") or ():
        # Other kinds of keys may stand beside ours; one that cannot be read must not hide the rest.
        if isinstance(item, dict) and item.get("kty") == "RSA" and item.get("use", "sig") == "sig":
            try:
                keys[str(item.get("kid"))] = PyJWK(item, algorithm="RS256")
            except (PyJWTError, ValueError):
                _log.warning("signing keys: one key of the set cannot be read")
    if not keys:
        raise Transient("the key set has no RSA key for signatures")
    return Issuer(name, keys)


def _get_object(url: str) -> dict[str, Any]:
    with requests.Session() as session:
        session.trust_env = not is_loopback(url)
        try:
            answer = session.get(url, timeout=_TIMEOUT, allow_redirects=False)
            found = answer.json() if answer.ok and len(answer.content) <= _MAX_ANSWER else None
        except requests.RequestException as error:
            raise Transient(f"{url}: {type(error).__name__}") from None
    if not isinstance(found, dict):
        raise Transient(f"{url} answered HTTP {answer.status_code} without a JSON object")
    return found
