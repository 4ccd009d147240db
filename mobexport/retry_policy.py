"""Retry policy: tries of a step and the delays between them; pure, so orchestrators may use it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from mobexport.wire import Failure


@dataclass(frozen=True)
class RetryPolicy:
    """Delays in seconds: `first`, doubled up to `most`."""

    first: float
    most: float
    attempts: int
    """Tries in all of a step that raises: a bug, or a worker that died."""
    patience: int | None = None
    """Tries in all while the cause may pass by itself (a service that is away or busy); None: as many."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


STEP = RetryPolicy(first=2, most=600, attempts=8, patience=45)
"""A step against storage or the Export API: four minutes for a bug, six hours for a service that is away. The
deadlines of an attempt may end it before."""
UNTIL_DONE = RetryPolicy(first=2, most=300, attempts=300)
"""A step that ends something: about a day, since nobody else would do it."""


def jitter(token: str, number: int) -> float:
    """A factor from 0.8 to 1.2 that depends on its arguments only, so that a replay gives the same."""
    digest = hashlib.sha256(f"{token}/{number}".encode()).digest()
    return 0.8 + 0.4 * int.from_bytes(digest[:4], "big") / 0xFFFFFFFF


def backoff(first: float, most: float, number: int, token: str) -> float:
    """Seconds before try `number` + 1 (0-based): doubling, capped, with jitter."""
    # Beyond 2^30 every `first` has reached `most`; the bound keeps the float finite.
    return min(most, first * 2.0 ** min(number, 30)) * jitter(token, number)


def next_delay(policy: RetryPolicy, tried: int, token: str, failure: Failure) -> float | None:
    """Seconds until the next try after `tried` failed ones; None if there is none.

    Its `retry_after` is a lower bound.
    """
    passing = policy.patience or policy.attempts
    if not failure.retryable or tried >= (policy.attempts if failure.kind == "bug" else passing):
        return None
    return max(backoff(policy.first, policy.most, tried - 1, token), failure.retry_after or 0.0)
