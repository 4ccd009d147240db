"""Signing keys of a Microsoft Entra ID tenant, found through its OpenID metadata.

Source: OpenID Connect Discovery 1.0 (`/.well-known/openid-configuration`, `issuer`, `jwks_uri`) and RFC 7517
(key sets). Keys are cached for a day and fetched again when a token names an unknown one, as after a
rotation; at most once a minute, so that forged tokens cannot make this app flood the key server. They are
fetched beside the callers: whoever has a known key never waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from mobexport.errors import Transient
from mobexport.http_calls import CallFailed, call
from mobexport.settings import is_loopback
from mobexport.telemetry.logs import get_logger
from mobexport.untrusted import Unfit, parse_json

_log = get_logger(__name__)

KEEP_SECONDS: Final = 24 * 3600.0
PAUSE_SECONDS: Final = 60.0
"""Between two fetches that went well."""
FAILED_PAUSE_SECONDS: Final = 5.0
"""After a fetch that failed: the server may be well again soon."""
WAIT_SECONDS: Final = 3.0
"""Longest wait of a caller whose key is not known; the fetch goes on without it."""
MAX_WAITING: Final = 2
"""Callers with unknown keys that wait at once while others can be served: each holds a thread."""
MIN_KEY_BITS: Final = 2048
MAX_KEY_BITS: Final = 8192
"""A larger one costs whoever checks a signature more than it is worth."""
_SECONDS: Final = 15.0
_MAX_ANSWER: Final = 1024 * 1024


@dataclass(frozen=True)
class Issuer:
    """An issuer and its keys, by their `kid`."""

    name: str
    """Required value of a token's `iss`."""
    keys: Mapping[str, PyJWK]


class SigningKeys:
    """The issuer behind one metadata document, fetched at first use; safe to share between threads."""

    def __init__(
        self,
        metadata_url: str,
        clock: Callable[[], float] = time.monotonic,
        *,
        wait: float = WAIT_SECONDS,
    ) -> None:
        self._url = metadata_url
        self._clock = clock
        self._wait = wait
        # Held for moments only, never while something is fetched.
        self._lock = threading.Lock()
        self._issuer: Issuer | None = None
        self._fetched = self._next = float("-inf")
        self._failed = False
        self._going: threading.Event | None = None
        self._waiting = 0

    def find(self, kid: str) -> tuple[str, PyJWK | None]:
        """The issuer's name and its key of that id; None for a key it does not have.

        A known key is found at once, also while newer ones are fetched or cannot be had. Raises Transient,
        with seconds to wait, while nobody can say whether there is such a key.
        """
        found = self._issuer
        known = found is not None and kid in found.keys
        if not known or self._clock() - self._fetched > KEEP_SECONDS:
            going = self._refresh()
            if going and not known:
                self._wait_for(going, anybody=found is None)
        with self._lock:
            found = self._issuer
            # Without an answer since the last try an unknown key may be a new one; after one it is made up.
            certain = self._going is None and not self._failed
            left = self._next - self._clock()
        if found is not None and (kid in found.keys or certain):
            return found.name, found.keys.get(kid)
        raise Transient(
            "the signing keys of Entra ID cannot be fetched, so no token can be checked; try again later",
            retry_after=max(left, 1.0),
        )

    def _refresh(self) -> threading.Event | None:
        """The fetch that is under way, begun here unless it is too early; None if there is none."""
        with self._lock:
            if self._going is None and self._clock() >= self._next:
                self._going = threading.Event()
                threading.Thread(target=self._fetch, args=(self._going,), daemon=True).start()
            return self._going

    def _wait_for(self, going: threading.Event, *, anybody: bool) -> None:
        with self._lock:
            if not anybody and self._waiting >= MAX_WAITING:
                return
            self._waiting += 1
        going.wait(self._wait)
        with self._lock:
            self._waiting -= 1

    def _fetch(self, done: threading.Event) -> None:
        found: Issuer | None = None
        try:
            found = fetch_issuer(self._url)
        except Transient as error:
            _log.warning("signing keys: %s", error.message)
        finally:
            with self._lock:
                now = self._clock()
                self._failed = found is None
                if found is not None:
                    self._issuer, self._fetched = found, now
                self._next = now + (FAILED_PAUSE_SECONDS if found is None else PAUSE_SECONDS)
                self._going = None
            done.set()


def fetch_issuer(metadata_url: str) -> Issuer:
    """Metadata, then keys. Raises Transient for every unusable answer."""
    metadata = _get_object(metadata_url)
    name, keys_url = metadata.get("issuer"), metadata.get("jwks_uri")
    if not isinstance(name, str) or not isinstance(keys_url, str):
        raise Transient("the OpenID metadata has no issuer or no jwks_uri")
    if not keys_url.startswith("https://") and not (is_loopback(keys_url) and is_loopback(metadata_url)):
        raise Transient("the jwks_uri of the OpenID metadata is not https")
    listed = _get_object(keys_url).get("keys")
    keys = {}
    for item in listed if isinstance(listed, list) else ():
        # Other kinds of keys may stand beside ours; one that cannot be read must not hide the rest.
        if isinstance(item, dict) and item.get("kty") == "RSA" and item.get("use", "sig") == "sig":
            if (key := _read_key(item)) is not None:
                keys[str(item.get("kid"))] = key
            else:
                _log.warning("signing keys: one key of the set cannot be used")
    if not keys:
        raise Transient(f"the key set has no RSA key of {MIN_KEY_BITS} bits or more for signatures")
    return Issuer(name, keys)


def _read_key(item: dict[str, Any]) -> PyJWK | None:
    """The key, if it is one, is public, and has a size that protects and can be afforded."""
    try:
        found = PyJWK(item, algorithm="RS256")
    except (PyJWTError, ValueError, TypeError, AttributeError):
        return None
    good = isinstance(found.key, RSAPublicKey) and MIN_KEY_BITS <= found.key.key_size <= MAX_KEY_BITS
    return found if good else None


def _get_object(url: str) -> dict[str, Any]:
    try:
        answer = call("GET", url, seconds=_SECONDS, most=_MAX_ANSWER)
        found = parse_json(answer.body, _MAX_ANSWER) if answer.status == 200 else None
    except CallFailed as failed:
        raise Transient(f"{url}: {failed.reason}") from None
    except Unfit as error:
        raise Transient(f"{url}: its answer {error}") from None
    if not isinstance(found, dict):
        raise Transient(f"{url} answered HTTP {answer.status} without a JSON object")
    return found
