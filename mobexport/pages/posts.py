"""Forms of the page: that they were sent by the page itself, and their fields.

A form carries the value of a cookie (SameSite=Strict) that no other site can read or send; and the browser
says where a form comes from, by `Sec-Fetch-Site` or `Origin`.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs

from mobexport.errors import Forbidden, RequestError
from mobexport.pages.access import host_of, is_same_origin
from mobexport.settings import Settings

FIELD: Final = "form-token"
_TOKEN: Final = re.compile(r"[0-9a-f]{32}")
_TYPE: Final = "application/x-www-form-urlencoded"
_MAX_BODY: Final = 64 * 1024
_MAX_FIELDS: Final = 100

Fields = Mapping[str, list[str]]
"""The fields of a form, each with its values; empty ones are left out."""


def cookie_name(settings: Settings) -> str:
    """Name of the cookie; in Azure browsers take it over https, from this very host, alone."""
    return "mobexport-form" if settings.is_local else "__Host-mobexport-form"


def token_of(settings: Settings, headers: Mapping[str, str]) -> tuple[str, str | None]:
    """The value for forms, and the `Set-Cookie` header to send with them if the browser has no cookie yet."""
    token = _cookie(settings, headers)
    if token is not None:
        return token, None
    token = secrets.token_hex(16)
    secure = "" if settings.is_local else "; Secure"
    return token, f"{cookie_name(settings)}={token}; Path=/; HttpOnly; SameSite=Strict{secure}"


def read_form(settings: Settings, headers: Mapping[str, str], body: bytes) -> Fields:
    """The fields of a form of this page. Raises Forbidden for one of elsewhere, RequestError."""
    given = {name.lower(): value for name, value in headers.items()}
    site, origin = given.get("sec-fetch-site"), given.get("origin")
    if site is not None and site != "same-origin":
        raise Forbidden("this form was sent by another site")
    if origin is not None and not is_same_origin(origin, host_of(headers)):
        raise Forbidden("this form was sent by another site")
    if given.get("content-type", "").partition(";")[0].strip().lower() != _TYPE:
        raise RequestError(f"a form is sent as {_TYPE}")
    if len(body) > _MAX_BODY:
        raise RequestError(f"a form has at most {_MAX_BODY} bytes")
    try:
        fields = parse_qs(body.decode("ascii"), errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise RequestError(f"a form has at most {_MAX_FIELDS} fields, in UTF-8") from None
    kept = _cookie(settings, headers)
    sent = fields.pop(FIELD, [""])[0]
    if kept is None or not hmac.compare_digest(kept.encode(), sent.encode()):
        raise Forbidden(
            "this form is not of this browser, or too old: load the page again and send it once more"
        )
    return fields


def _cookie(settings: Settings, headers: Mapping[str, str]) -> str | None:
    text = next((value for name, value in headers.items() if name.lower() == "cookie"), "")
    try:
        found = SimpleCookie(text[:8192]).get(cookie_name(settings))
    except CookieError:
        return None
    return found.value if found and _TOKEN.fullmatch(found.value) else None
