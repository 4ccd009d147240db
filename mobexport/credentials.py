"""Entra ID tokens of this app for other services, from azure-identity, cached until refused."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

from mobexport.errors import ConfigError, MobexportError, Transient
from mobexport.failure_policy import Decision, on_exception

_lock = threading.Lock()
_credentials: list[Any] = []


def get_token(scope: str, setting: str) -> str:
    """A bearer token for that scope; `setting` holds the scope, for the message.

    Raises ConfigError when this app's identity gets none, Transient when nobody could be asked.
    """
    from azure.core.exceptions import AzureError
    from azure.identity import CredentialUnavailableError

    for credential in _known():
        try:
            token = str(credential.get_token(scope).token)
        except CredentialUnavailableError:
            continue
        except (AzureError, ValueError) as error:
            raise _refused(error, scope, setting) from None
        with _lock:
            _credentials[:] = [credential]
        return token
    raise ConfigError(f"{setting}: this app has no identity that could get a token for {scope!r}")


def forget_tokens() -> None:
    """Drops the cached tokens, for one that was refused before it expired; the next token is a new one."""
    with _lock:
        _credentials.clear()


def _known() -> list[Any]:
    """The credentials of DefaultAzureCredential, later the one that works: each keeps its tokens in memory.

    One by one, since the chain as a whole hides why a credential failed.
    """
    with _lock:
        if not _credentials:
            from azure.identity import DefaultAzureCredential

            # An authority that was set on purpose is not looked up in the public directory.
            private = bool(os.environ.get("AZURE_AUTHORITY_HOST"))
            _credentials.extend(DefaultAzureCredential(disable_instance_discovery=private).credentials)
        return list(_credentials)


def _refused(error: BaseException, scope: str, setting: str) -> MobexportError:
    # The exception's own text is pages long and may quote what was sent.
    if any(on_exception(cause) is Decision.RETRY for cause in _causes(error)):
        return Transient(f"no token could be fetched for {scope!r}; is Entra ID reachable?")
    return ConfigError(f"{setting}: no token for {scope!r}; may the app's identity call that API?")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """azure-identity makes a refusal also of a broken connection, which is then its cause."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
