"""The registry of notification targets: one kind a module, found by the `kind` in `exports.toml`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import BeforeValidator

from mobexport.targets.event_grid import EventGridTarget
from mobexport.targets.model import Target
from mobexport.targets.slack import SlackTarget
from mobexport.targets.storage_queue import QueueTarget
from mobexport.targets.teams import TeamsTarget
from mobexport.targets.webhook import WebhookTarget

__all__ = [
    "AnyTarget",
    "EventGridTarget",
    "QueueTarget",
    "SlackTarget",
    "Target",
    "TeamsTarget",
    "WebhookTarget",
    "kinds",
    "registered",
]

_DECLARED: tuple[type[Target], ...] = (WebhookTarget, QueueTarget, SlackTarget, TeamsTarget, EventGridTarget)


def _name(declared: type[Target]) -> str:
    (name,) = declared.model_fields["kind"].annotation.__args__  # type: ignore[union-attr]
    return str(name)


_kinds: dict[str, type[Target]] = {_name(declared): declared for declared in _DECLARED}


def kinds() -> dict[str, type[Target]]:
    """Every kind of target, by its name in `exports.toml`."""
    return dict(_kinds)


def _parse(value: Any) -> Any:
    """A target's table as the model of its kind. Raises ValueError or ValidationError."""
    if isinstance(value, Target):
        return value
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _kinds:
        raise ValueError(f"kind must be one of: {', '.join(_kinds)}")
    return _kinds[kind].model_validate(value)


AnyTarget = Annotated[Target, BeforeValidator(_parse)]
"""A target of any kind, as a field of a model."""


@contextmanager
def registered(declared: type[Target]) -> Iterator[type[Target]]:
    """Adds a kind for the time of a `with` block: everything that a new one needs to work everywhere."""
    name = _name(declared)
    if name in _kinds:
        raise ValueError(f"{name} is registered already")
    _kinds[name] = declared
    try:
        yield declared
    finally:
        del _kinds[name]
