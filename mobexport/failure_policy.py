"""Failure policy: one table from HTTP statuses and exceptions of other services to a decision.

States of an export job are in `pipeline/registry/states.py`, delays between tries in `retry_policy.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from mobexport.errors import ConfigError, MobexportError, Rejected, Throttled, Transient


class Decision(StrEnum):
    """Reaction to a failed call."""

    RETRY = "retry"
    """Try again, by the policy's back-off."""
    WAIT = "wait"
    """Try again, not before `Retry-After`."""
    REFRESH_TOKEN = "refresh token"  # noqa: S105 - the name of a decision
    """Try once more at once with a new token; refused again, the configuration is wrong."""
    CONFIGURE = "configure"
    """Give up until somebody changes a setting, which the message names."""
    FAIL = "fail"
    """Give up: the same call would be refused again."""


class Peer(StrEnum):
    """The service that answered: the same status means different things from different services."""

    EXPORT_API = "Export API"
    STORAGE = "storage"
    WEBHOOK = "webhook"
    MESSAGING = "messaging service"
    """Slack, Teams, Event Grid: an address that is gone does not come back by itself."""


_R, _W, _T, _C, _F = (
    Decision.RETRY,
    Decision.WAIT,
    Decision.REFRESH_TOKEN,
    Decision.CONFIGURE,
    Decision.FAIL,
)
_Row = tuple[int, int, Decision, Decision, Decision, Decision]
# The first row that holds the status counts; together the rows hold every status there is.
_STATUSES: Final[tuple[_Row, ...]] = (
    # from, to, Export API, storage, webhook, messaging service
    (401, 401, _T, _C, _F, _T),
    (403, 403, _C, _C, _F, _C),
    # While a receiver is being deployed its route is missing for a moment.
    (404, 404, _F, _F, _R, _C),
    (410, 410, _F, _F, _F, _C),
    (408, 408, _R, _R, _R, _R),
    (425, 425, _R, _R, _R, _R),
    (429, 429, _W, _W, _W, _W),
    (503, 503, _W, _W, _W, _W),
    (501, 501, _F, _F, _F, _F),
    (505, 505, _F, _F, _F, _F),
    (500, 599, _R, _R, _R, _R),
    # A redirect would carry a secret to a host that nobody configured; other failures are refusals.
    (100, 499, _F, _F, _F, _F),
    # No such thing in HTTP, and yet three digits that a server can send.
    (600, 999, _F, _F, _F, _F),
)
_COLUMN: Final = {Peer.EXPORT_API: 0, Peer.STORAGE: 1, Peer.WEBHOOK: 2, Peer.MESSAGING: 3}

_EXCEPTIONS: Final[Mapping[str, Decision]] = {
    # By name along the class's bases, so that nothing is imported for it; the most derived one counts.
    "requests.exceptions.InvalidURL": _C,
    "requests.exceptions.MissingSchema": _C,
    "requests.exceptions.InvalidSchema": _C,
    "requests.exceptions.InvalidHeader": _C,
    "requests.exceptions.TooManyRedirects": _F,
    "requests.exceptions.RequestException": _R,
    "urllib3.exceptions.HTTPError": _R,
    "azure.core.exceptions.ClientAuthenticationError": _C,
    "azure.core.exceptions.ServiceRequestError": _R,
    "azure.core.exceptions.ServiceResponseError": _R,
    "builtins.ConnectionError": _R,
    "builtins.TimeoutError": _R,
}


def on_status(status: int, peer: Peer) -> Decision:
    """The decision for the HTTP status of a failed call. Raises ValueError for any other number."""
    for first, last, *decisions in _STATUSES:
        if first <= status <= last:
            return decisions[_COLUMN[peer]]
    raise ValueError(f"{status} is not an HTTP status")


def on_exception(error: BaseException) -> Decision | None:
    """The decision for an exception of a client library; None for an unknown one, which is a bug."""
    for base in type(error).__mro__:
        decision = _EXCEPTIONS.get(f"{base.__module__}.{base.__qualname__}")
        if decision is not None:
            return decision
    return None


def as_error(
    decision: Decision, message: str, *, status: int | None = None, retry_after: float | None = None
) -> MobexportError:
    """The error that carries the decision to the orchestrator."""
    match decision:
        case Decision.RETRY:
            return Transient(message, status=status, retry_after=retry_after)
        case Decision.WAIT:
            return Throttled(message, status=status, retry_after=retry_after)
        case Decision.REFRESH_TOKEN | Decision.CONFIGURE:
            return ConfigError(message)
        case Decision.FAIL:
            return Rejected(message, status=status)
