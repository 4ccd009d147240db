"""Admission to the status page: on a developer's machine anybody, in Azure users with a role.

In Azure App Service Authentication signs users in, and says in a header who they are; it takes that header
off whatever comes from outside. So it counts only where the platform says that authentication is on.

Source: https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from mobexport.errors import Forbidden, NotFound, Unauthorized
from mobexport.settings import Settings, is_loopback
from mobexport.untrusted import Unfit, parse_json, prose

PRINCIPAL: Final = "x-ms-client-principal"
READER: Final = "reader"
OPERATOR: Final = "operator"
_ROLE_CLAIMS: Final = frozenset({"roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"})
_NAME_CLAIMS: Final = ("preferred_username", "name")
_MAX_PRINCIPAL: Final = 24 * 1024
"""Characters in base64; the host takes 32 KiB for all headers together."""


@dataclass(frozen=True)
class Visitor:
    """Somebody who may look at the page."""

    name: str
    may_change: bool
    """Whether requests, cancels and runs are for this visitor."""


def admit(settings: Settings, headers: Mapping[str, str]) -> Visitor:
    """The visitor. `headers`: of the request, by any spelling.

    Raises NotFound if this app shows no page, Unauthorized before signing in, Forbidden without a role.
    """
    given = {name.lower(): value for name, value in headers.items()}
    if settings.page_auth == "easy-auth":
        if not settings.website_auth_enabled:
            raise NotFound("PAGE_AUTH is easy-auth, and App Service Authentication is off: docs/deploy.md")
        if not settings.page_client_id:
            raise NotFound("PAGE_AUTH is easy-auth, and PAGE_CLIENT_ID is not set: docs/deploy.md")
        return _signed_in(given.get(PRINCIPAL), settings.page_client_id)
    if settings.page_auth == "local" and settings.is_local:
        # A page of another host whose name was made to lead to this machine sends its own name.
        if not is_loopback(f"http://{given.get('host', '')}"):
            raise Forbidden("on a developer's machine the page is at localhost or 127.0.0.1 only")
        return Visitor("this machine", may_change=True)
    raise NotFound(
        "the status page is off here: it needs App Service Authentication and PAGE_AUTH=easy-auth,"
        " see docs/deploy.md"
    )


def _signed_in(principal: str | None, client_id: str) -> Visitor:
    if not principal:
        raise Unauthorized("sign in to see this page")
    claims = _claims(principal)
    # Authentication also takes tokens of the Export API's callers: they are of another audience.
    if ("aud", client_id.lower()) not in [(name, value.lower()) for name, value in claims]:
        raise Unauthorized("you are signed in for another application: sign in to see this page")
    roles = {value for name, value in claims if name in _ROLE_CLAIMS}
    if not roles & {READER, OPERATOR}:
        raise Forbidden(
            f"your account has none of the roles {READER} and {OPERATOR} of this app;"
            " whoever runs it can assign them in Entra ID, Enterprise applications"
        )
    names = (value for wanted in _NAME_CLAIMS for name, value in claims if name == wanted)
    return Visitor(prose(next(names, "somebody"), 100), OPERATOR in roles)


def _claims(principal: str) -> list[tuple[str, str]]:
    """(type, value) of a principal of Entra ID. Raises Unauthorized."""
    try:
        if len(principal) > _MAX_PRINCIPAL:
            raise Unfit("is too long")
        found: Any = parse_json(base64.b64decode(principal, validate=True), _MAX_PRINCIPAL)
        if found["auth_typ"] != "aad":
            raise Unfit("is not of Entra ID")
        own_role = found.get("role_typ")
        claims = [(one["typ"], one["val"]) for one in found["claims"]]
        if not all(isinstance(text, str) for claim in claims for text in claim):
            raise Unfit("holds claims that are no text")
    except (binascii.Error, Unfit, KeyError, TypeError, AttributeError, ValueError):
        raise Unauthorized(
            "what App Service Authentication says of you cannot be read: sign in again"
        ) from None
    return [("roles" if name == own_role else name, value) for name, value in claims]


def host_of(headers: Mapping[str, str]) -> str:
    """Host and port that the request was sent to."""
    return next((value for name, value in headers.items() if name.lower() == "host"), "")


def is_same_origin(origin: str, host: str) -> bool:
    """Whether an `Origin` header is of that host and port."""
    return urlsplit(origin).netloc == host
