"""Bearer tokens of Microsoft Entra ID: their checks, and the client id of a good one.

Source: "Access tokens in the Microsoft identity platform" (claims of version 1.0 and 2.0), RFC 7519 and
RFC 8725. A token is never logged, kept or repeated in a message.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import jwt
from jwt import exceptions as failures

from mobexport.errors import Unauthorized
from mobexport.export_api.auth.signing_keys import SigningKeys
from mobexport.settings import Settings

LEEWAY_SECONDS: Final = 60
_MAX_TOKEN: Final = 16 * 1024
# Entra signs with this one. Fixing it here is what makes `none`, and HS256 with the public key, useless.
_ALGORITHMS: Final = ["RS256"]
_REQUIRED: Final = ["exp", "nbf", "iat", "iss", "aud", "tid"]


@dataclass(frozen=True)
class Version:
    """Differences between the versions of access tokens."""

    metadata: str
    """Path of the OpenID metadata below `{authority}/{tenant}`."""
    client_claim: str
    """Names the application that asked for the token."""


VERSIONS: Final = {
    "1.0": Version("/.well-known/openid-configuration", "appid"),
    "2.0": Version("/v2.0/.well-known/openid-configuration", "azp"),
}

_OTHER_ALGORITHM: Final = "the token is not signed with RS256"
_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (failures.ExpiredSignatureError, "the token has expired"),
    (failures.ImmatureSignatureError, "the token is not valid yet"),
    (failures.InvalidAudienceError, "the token is for another audience"),
    (failures.InvalidIssuerError, "the token is of another issuer"),
    (failures.InvalidAlgorithmError, _OTHER_ALGORITHM),
    (failures.MissingRequiredClaimError, "the token lacks a claim that every Entra access token has"),
    (failures.InvalidSignatureError, "the token's signature is wrong"),
)


class TokenChecker:
    """Checks tokens of one tenant for one API."""

    def __init__(self, authority: str, tenant: str, audiences: tuple[str, ...]) -> None:
        self._tenant = tenant.lower()
        self._audiences = list(audiences)
        self._keys = {
            name: SigningKeys(f"{authority.rstrip('/')}/{tenant}{version.metadata}")
            for name, version in VERSIONS.items()
        }

    def client_of(self, token: str) -> str:
        """Client id (lower case) of the application a good token was issued to.

        Raises Unauthorized with the reason for any other token, Transient while no keys can be had.
        """
        name, kid = _announced(token)
        issuer, key = self._keys[name].find(kid)
        if key is None:
            raise Unauthorized("the token is signed with a key that its tenant does not have")
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=_ALGORITHMS,
                audience=self._audiences,
                issuer=issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED},
            )
        except failures.PyJWTError as error:
            raise Unauthorized(_reason(error)) from None
        if str(claims["tid"]).lower() != self._tenant:
            raise Unauthorized("the token is of another tenant")
        client = claims.get(VERSIONS[name].client_claim)
        if not isinstance(client, str) or not client:
            raise Unauthorized("the token does not say which application it was issued to")
        return client.lower()


def _announced(token: str) -> tuple[str, str]:
    """Version and key id that a token claims, before anything of it is believed."""
    if len(token) > _MAX_TOKEN:
        raise Unauthorized("the token is too long")
    try:
        header = jwt.get_unverified_header(token)
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (failures.PyJWTError, ValueError, RecursionError):
        raise Unauthorized("the token is not a JSON Web Token") from None
    if header.get("alg") not in _ALGORITHMS:
        raise Unauthorized(_OTHER_ALGORITHM)
    name, kid = claims.get("ver"), header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise Unauthorized("the token does not name its key")
    if not isinstance(name, str) or name not in VERSIONS:
        raise Unauthorized("the token is not an access token of Entra ID (claim `ver`)")
    return name, kid


def _reason(error: Exception) -> str:
    return next((text for kind, text in _REASONS if isinstance(error, kind)), "the token is not valid")


@lru_cache(maxsize=1)
def token_checker(settings: Settings) -> TokenChecker:
    """The process's checker; it holds the keys."""
    return TokenChecker(
        settings.export_api_authority, settings.export_api_tenant_id, settings.export_api_audiences
    )
