"""Secrets by the name of the setting that holds them: checked and read, never repeated."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mobexport.errors import ConfigError
from mobexport.settings import is_loopback
from mobexport.standard_webhooks import key_of

# App Service leaves the text of a reference in place when it cannot read the secret.
_VAULT_REFERENCE: Final = "@Microsoft.KeyVault("
_UNREAD: Final = (
    'the platform has not read it from the vault; see docs/operations.md, "A secret is not there"'
)


@dataclass(frozen=True)
class NamedSecret:
    """One secret, by its setting."""

    setting: str
    what: str
    """As messages call it: `signing secret`."""
    form: str
    """What it must be."""
    is_good: Callable[[str], bool]

    def problem(self, used_by: str, environ: Mapping[str, str] = os.environ) -> str | None:
        """What is wrong with it, and what to do; None if nothing. `used_by` is `targets.ops` or the like."""
        value = environ.get(self.setting, "")
        if not value:
            return f"{self.setting}: set the {self.what} of {used_by} ({self.form})"
        if value.startswith(_VAULT_REFERENCE):
            return f"{self.setting}: {_UNREAD}"
        if not self.is_good(value):
            return f"{self.setting}: must be {self.form}, with nothing before or behind it ({used_by})"
        return None

    def read(self, used_by: str) -> str:
        """Its value in this process. Raises ConfigError that names the setting."""
        if problem := self.problem(used_by):
            raise ConfigError(problem)
        return os.environ[self.setting]


def signing_secret(setting: str) -> NamedSecret:
    """A secret of Standard Webhooks."""
    return NamedSecret(setting, "signing secret", "whsec_ followed by base64", _is_key)


def secret_url(setting: str, what: str) -> NamedSecret:
    """A URL that is a secret as a whole; http is for loopback only."""
    return NamedSecret(setting, what, "a whole https:// URL", _is_url)


def access_key(setting: str) -> NamedSecret:
    """A key that goes into a header."""
    return NamedSecret(setting, "access key", "letters, digits and signs without spaces", _is_word)


def _is_key(value: str) -> bool:
    try:
        return bool(key_of(value))
    except ValueError:
        return False


def _is_url(value: str) -> bool:
    if not _is_word(value):
        return False
    try:
        parts = urlsplit(value)
        loopback = is_loopback(value)
    except ValueError:
        return False
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and loopback))


def _is_word(value: str) -> bool:
    return value.isascii() and value.isprintable() and " " not in value
