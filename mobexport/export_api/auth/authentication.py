"""Admission to the Export API: tokens of Microsoft Entra ID, and the callers listed in exports.toml.

`EXPORT_API_AUTH=none` admits everybody, and counts only on a developer's machine. If settings are
inconsistent these routes answer 503 and health names the setting: closed is the only safe default.
"""

from __future__ import annotations

import re

from mobexport.config import ExportsConfig
from mobexport.errors import Forbidden, Unauthorized, Unavailable
from mobexport.settings import Settings

_BEARER = re.compile(r"(?i)bearer +([A-Za-z0-9._~+/=-]+) *")


def check_serving(settings: Settings, exports_config: ExportsConfig) -> None:
    """Raises Unavailable, with setting and remedy, if this app cannot serve the Export API."""
    if settings.role == "pipeline":
        raise Unavailable("ROLE is 'pipeline': this app does not serve the Export API")
    if settings.export_api_auth == "none":
        if not settings.is_local:
            raise Unavailable(
                "EXPORT_API_AUTH is 'none', which counts only in local development"
                " (AZURE_FUNCTIONS_ENVIRONMENT=Development and a loopback WEBSITE_HOSTNAME)"
            )
        return
    wanted = {
        "EXPORT_API_TENANT_ID": settings.export_api_tenant_id,
        "EXPORT_API_AUDIENCE": settings.export_api_audience,
    }
    if missing := [name for name, value in wanted.items() if not value]:
        raise Unavailable(
            f"{', '.join(missing)}: set what the tokens of the Export API's callers must be for"
            " (EXPORT_API_AUTH is 'entra'); for local development set EXPORT_API_AUTH=none"
        )
    if not exports_config.callers and not settings.own_caller:
        raise Unavailable("exports.toml names no [callers]: nobody may call the Export API")


def check_caller(
    settings: Settings, exports_config: ExportsConfig, authorization: str | None, app: str
) -> None:
    """Returns if the caller with that `Authorization` header may export that app.

    Raises Unavailable, Unauthorized (no good token), Forbidden (a good one of somebody else), or
    Transient while the tenant's keys cannot be had.
    """
    check_serving(settings, exports_config)
    if settings.export_api_auth == "none":
        return
    client = _client(settings, authorization)
    # The pipeline of this very app: its identity reads the raw data anyway, so nothing is given away.
    if client != settings.own_caller and not exports_config.may_export(client, app):
        raise Forbidden(
            f"application {client[:64]} may not export app {app[:64]!r}; whoever runs this API can allow it"
            " in exports.toml, [callers]"
        )


def _client(settings: Settings, authorization: str | None) -> str:
    challenge = f'Bearer authorization_uri="{settings.export_api_authority}/{settings.export_api_tenant_id}"'
    if authorization is None or not authorization.strip():
        raise Unauthorized(
            "the call needs an Authorization header with an access token of Entra ID", challenge=challenge
        )
    try:
        bearer = _BEARER.fullmatch(authorization)
        if bearer is None:
            raise Unauthorized("the Authorization header must be `Bearer` and a token")
        # Only here: the libraries behind it are not for those who need no tokens.
        from mobexport.export_api.auth.entra import token_checker

        return token_checker(settings).client_of(bearer[1])
    except Unauthorized as error:
        raise Unauthorized(error.message, challenge=f'{challenge}, error="invalid_token"') from None
