"""`@app.retry`: how often and how soon a failed run is tried again in the same process.

Sources: FunctionExecutorExtensions and RandomizedExponentialBackoffStrategy of the WebJobs SDK.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from devhost.console import log
from devhost.errors import IndexingError
from devhost.time_spans import parse_time_span


@dataclass(frozen=True)
class RetryContext:
    """What a run finds in `context.retry_context`."""

    retry_count: int = 0
    max_retry_count: int = 0
    rpc_exception: BaseException | None = None

    @property
    def exception(self) -> BaseException | None:
        return self.rpc_exception


@dataclass(frozen=True)
class RetryPolicy:
    """`max_retry_count` -1 is without end; `maximum` is None for a fixed delay of `minimum`."""

    max_retry_count: int
    minimum: timedelta
    maximum: timedelta | None = None

    def delay(self, retry: int, chance: Callable[[float, float], float] = random.uniform) -> timedelta:
        """Before the nth retry, from 1: the minimum, then growing by twos, 20 % more or less."""
        if self.maximum is None:
            return self.minimum
        # 30 doublings exceed any maximum: a longer exponent would only overflow.
        growth = 0.0 if retry < 2 else chance(0.8, 1.2) * 2.0 ** min(retry - 2, 30)
        seconds = self.minimum.total_seconds() * (1 + growth)
        return min(timedelta(seconds=seconds), self.maximum)


def parse_policy(settings: Mapping[str, Any]) -> RetryPolicy:
    """Raises IndexingError naming the argument of `@app.retry`."""
    strategy = str(settings.get("strategy"))
    if strategy == "fixed_delay":
        names: tuple[str, ...] = ("delay_interval",)
    elif strategy == "exponential_backoff":
        names = ("minimum_interval", "maximum_interval")
    else:
        raise IndexingError(f"retry: strategy is '{strategy}'; it can be fixed_delay or exponential_backoff")
    try:
        count = int(settings["max_retry_count"])
    except (KeyError, TypeError, ValueError):
        count = -2
    if count < -1:
        raise IndexingError("retry: max_retry_count must be a number, -1 for retries without end")
    delays = []
    for name in names:
        span = parse_time_span(str(settings.get(name)))
        if span is None or span < timedelta(0):
            raise IndexingError(f"retry: {name} must be a time span such as 00:00:10")
        delays.append(span)
    if len(delays) == 2 and delays[0] > delays[1]:
        raise IndexingError("retry: minimum_interval must not be greater than maximum_interval")
    return RetryPolicy(count, *delays)


def run_with_retries(
    policy: RetryPolicy | None, run: Callable[[RetryContext | None], None], wait: Callable[[float], bool]
) -> None:
    """Run until it succeeds or the policy ends; raises what the last run raised.

    `wait` takes seconds and says whether the host stops meanwhile, which ends the retries.
    """
    if policy is None:
        run(None)
        return
    retries, last = 0, None
    while True:
        try:
            run(RetryContext(retries, policy.max_retry_count, last))
        except Exception as error:
            if retries == policy.max_retry_count:
                raise
            retries, last = retries + 1, error
            delay = policy.delay(retries)
            log.info(
                "Waiting for `%s` before retrying function execution. Next attempt: '%d'."
                " Max retry count: '%d'.",
                delay,
                retries,
                policy.max_retry_count,
            )
            if wait(delay.total_seconds()):
                raise
        else:
            return
