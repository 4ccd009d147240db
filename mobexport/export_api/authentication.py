"""Who may call the Export API.

`EXPORT_API_AUTH=none` admits everybody, and counts only on a developer's machine. Validation of
Microsoft Entra tokens is not built yet, so with `entra` these routes answer 503 and health says so:
closed is the only safe default.
"""

from __future__ import annotations

from mobexport.errors import Unavailable
from mobexport.settings import Settings


def check_caller_admitted(settings: Settings) -> None:
    """Returns if the call may go on. Raises Unavailable that names the setting and the remedy."""
    if settings.role == "pipeline":
        raise Unavailable("ROLE is 'pipeline': this app does not serve the Export API")
    if settings.export_api_auth == "entra":
        raise Unavailable(
            "EXPORT_API_AUTH is 'entra', and this version cannot check Entra tokens yet; for local"
            " development set EXPORT_API_AUTH=none"
        )
    if not settings.is_local:
        raise Unavailable(
            "EXPORT_API_AUTH is 'none', which counts only in local development"
            " (AZURE_FUNCTIONS_ENVIRONMENT=Development and a loopback WEBSITE_HOSTNAME)"
        )
