"""Tokens of Entra ID for calls to an Export API, from azure-identity, kept until they are refused."""

from __future__ import annotations

import os
import threading
from typing import Any

from mobexport.errors import ConfigError

_lock = threading.Lock()
_credentials: list[Any] = []


def get_token(scope: str, setting: str) -> str:
    """A bearer token for that scope; `setting` is where the scope stands, for the message.

    Raises ConfigError when this app's identity gets none.
    """
    from azure.core.exceptions import ClientAuthenticationError

    try:
        return str(_credential().get_token(scope).token)
    except (ClientAuthenticationError, ValueError):
        # The exception's own text is pages long and may quote what was sent.
        raise ConfigError(
            f"{setting}: no token for {scope!r}; may the app's identity call that API?"
        ) from None


def forget_tokens() -> None:
    """Drops what was kept: the next token is a new one. For a token that was refused before it expired."""
    with _lock:
        _credentials.clear()


def _credential() -> Any:
    # One for the process: azure-identity keeps tokens in memory in the credential itself.
    with _lock:
        if not _credentials:
            from azure.identity import DefaultAzureCredential

            # An authority that was set on purpose is not looked up in the public directory.
            private = bool(os.environ.get("AZURE_AUTHORITY_HOST"))
            _credentials.append(DefaultAzureCredential(disable_instance_discovery=private))
        return _credentials[0]
