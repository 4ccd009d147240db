"""Whether an instance still lives: a table of what Durable says, and what follows."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobexport.liveness import GRACE, SILENT, YOUNG, Instance, Verdict, judge, word

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LONG_AGO = NOW - timedelta(days=1)


def going(updated: datetime = LONG_AGO, until: datetime | None = None, state: str = "Running") -> Instance:
    return Instance(state, updated, until)


@pytest.mark.parametrize(
    ("instance", "changed", "verdict"),
    [
        (None, LONG_AGO, Verdict.GONE),
        (None, NOW - YOUNG, Verdict.ALIVE),
        (going(state="Completed"), LONG_AGO, Verdict.GONE),
        (going(state="Completed"), NOW, Verdict.ALIVE),
        (going(state="Failed"), NOW, Verdict.GONE),
        (going(state="Terminated"), NOW, Verdict.GONE),
        (going(state="Suspended", until=LONG_AGO), LONG_AGO, Verdict.ALIVE),
        (going(until=NOW - GRACE), LONG_AGO, Verdict.ALIVE),
        (going(until=NOW - GRACE - SECOND), LONG_AGO, Verdict.STUCK),
        (going(NOW - GRACE, until=LONG_AGO), LONG_AGO, Verdict.ALIVE),
        (going(), LONG_AGO, Verdict.STUCK),
        (going(NOW - SILENT - GRACE), LONG_AGO, Verdict.ALIVE),
        (going(state="Pending"), LONG_AGO, Verdict.STUCK),
    ],
)
def test_verdict_on_an_instance(instance, changed, verdict) -> None:
    assert judge(instance, changed, NOW) is verdict


@pytest.mark.parametrize(
    ("lanes", "updated", "verdict"),
    [
        (("Running", "Completed"), LONG_AGO, Verdict.ALIVE),
        (("Completed", "Failed"), LONG_AGO, Verdict.STUCK),
        (("Completed",), NOW - GRACE, Verdict.ALIVE),
        ((None,), LONG_AGO, Verdict.STUCK),
    ],
)
def test_verdict_on_an_instance_that_waits_for_lanes(lanes, updated, verdict) -> None:
    instance = Instance("Running", updated, None, tuple("abc"[: len(lanes)]))
    found = tuple(going(state=state) if state else None for state in lanes)
    assert judge(instance, LONG_AGO, NOW, found) is verdict


@given(st.datetimes(timezones=st.just(UTC)), st.lists(st.text(max_size=50), max_size=5))
def test_what_an_instance_says_is_read_back(until, lanes) -> None:
    assert Instance.of("Running", NOW, word(until)).until == until
    assert Instance.of("Running", NOW, word(None, tuple(lanes))).lanes == tuple(lanes)


@pytest.mark.parametrize("status", [None, "busy", [], {}, {"until": None}, {"other": 1}])
def test_given_a_custom_status_of_somebody_else_then_nothing_is_said(status) -> None:
    found = Instance.of("Running", NOW.replace(tzinfo=None), status)
    assert found == Instance("Running", NOW)
