"""Retry policies of functions: what `@app.retry` takes, how long they wait, when they end."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devhost.retry import RetryContext, RetryPolicy, parse_policy, run_with_retries

SECOND = timedelta(seconds=1)


def test_given_both_strategies_when_read_then_texts_become_numbers() -> None:
    fixed = {"strategy": "fixed_delay", "max_retry_count": "3", "delay_interval": "00:00:10"}
    assert parse_policy(fixed) == RetryPolicy(3, 10 * SECOND)
    growing = {
        "strategy": "exponential_backoff",
        "max_retry_count": "-1",
        "minimum_interval": "00:00:01",
        "maximum_interval": "00:15:00",
    }
    assert parse_policy(growing) == RetryPolicy(-1, SECOND, 900 * SECOND)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategy": "often"}, "strategy is 'often'"),
        ({"max_retry_count": "x"}, "max_retry_count must be a number"),
        ({"max_retry_count": "-2"}, "max_retry_count must be a number"),
        ({"delay_interval": "soon"}, "delay_interval must be a time span"),
        ({"strategy": "exponential_backoff"}, "minimum_interval must be a time span"),
        (
            {
                "strategy": "exponential_backoff",
                "minimum_interval": "00:01:00",
                "maximum_interval": "00:00:01",
            },
            "minimum_interval must not be greater",
        ),
    ],
)
def test_given_a_wrong_policy_when_read_then_the_error_names_the_argument(
    change: dict[str, Any], message: str
) -> None:
    good = {"strategy": "fixed_delay", "max_retry_count": "3", "delay_interval": "00:00:10"}
    with pytest.raises(ValueError, match=message):
        parse_policy({**good, **change})


def test_given_no_chance_when_delays_grow_then_by_twos_up_to_the_maximum() -> None:
    policy = RetryPolicy(-1, SECOND, 10 * SECOND)
    delays = [policy.delay(n, lambda _low, _high: 1.0).total_seconds() for n in range(1, 8)]
    assert delays == [1, 2, 3, 5, 9, 10, 10]
    assert policy.delay(5000, lambda _low, _high: 1.0) == 10 * SECOND
    assert [RetryPolicy(3, SECOND).delay(n) for n in (1, 9)] == [SECOND, SECOND]


@given(st.integers(1, 200))
def test_given_any_retry_when_the_delay_is_drawn_then_it_lies_between_the_bounds(retry: int) -> None:
    assert SECOND <= RetryPolicy(-1, SECOND, 60 * SECOND).delay(retry) <= 60 * SECOND


def test_given_a_run_that_always_fails_when_retried_then_it_ends_after_the_last_retry() -> None:
    seen: list[RetryContext | None] = []

    def run(context: RetryContext | None) -> None:
        seen.append(context)
        raise ValueError(len(seen))

    with pytest.raises(ValueError, match="3"):
        run_with_retries(RetryPolicy(2, SECOND), run, lambda _seconds: False)
    assert [c and c.retry_count for c in seen] == [0, 1, 2]
    seen.clear()
    with pytest.raises(ValueError, match="1"):
        run_with_retries(None, run, lambda _seconds: False)
    assert seen == [None]


def test_given_a_host_that_stops_when_a_retry_waits_then_there_is_none() -> None:
    waited: list[float] = []

    def run(_context: RetryContext | None) -> None:
        raise ValueError("told")

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return True

    with pytest.raises(ValueError, match="told"):
        run_with_retries(RetryPolicy(-1, 7 * SECOND), run, wait)
    assert waited == [7.0]
