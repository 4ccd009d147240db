"""The base of every kind of notification target: its keys in `exports.toml`, and how to send to it.

The configuration imports every kind: what only sending needs is imported in `send`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import AnyHttpUrl, BaseModel, ConfigDict

from mobexport.settings import is_loopback

if TYPE_CHECKING:
    from mobexport.named_secret import NamedSecret
    from mobexport.storage import DataStorage


class Target(BaseModel):
    """`[targets.name]`. A kind is a subclass whose attribute `kind` is a `Literal` with its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str

    @abstractmethod
    def send(self, event: Mapping[str, Any], storage: DataStorage) -> None:
        """One attempt to deliver a CloudEvent. Must be repeatable: receivers go by the event's `id`.

        Raises Transient or Throttled to be tried again, Rejected or ConfigError when that is useless.
        """

    def secrets(self) -> tuple[NamedSecret, ...]:
        """The settings that hold its secrets; `mobexport config check` and health look at them."""
        return ()


def check_https(name: str, url: AnyHttpUrl | None) -> None:
    """Raises ValueError that names the key of a URL that would be called without encryption."""
    if url and url.scheme != "https" and not is_loopback(str(url)):
        raise ValueError(f"{name} must be https (http only for loopback)")
