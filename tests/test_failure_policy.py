"""What a status or an exception means: the table is whole, and every peer goes by it."""

import azure.core.exceptions
import pytest
import requests.exceptions

from mobexport.errors import ConfigError, Rejected, Throttled, Transient
from mobexport.failure_policy import Decision, Peer, as_error, on_exception, on_status
from mobexport.storage import known_error


@pytest.mark.parametrize("peer", Peer)
def test_given_every_status_there_is_when_looked_up_then_a_decision(peer: Peer) -> None:
    found = {status: on_status(status, peer) for status in range(100, 1000)}
    retried = {status for status, decision in found.items() if decision in (Decision.RETRY, Decision.WAIT)}
    assert {status for status in retried if status < 500} == (
        {404, 408, 425, 429} if peer is Peer.WEBHOOK else {408, 425, 429}
    )
    assert set(range(500, 600)) - retried == {501, 505}
    assert {status for status, decision in found.items() if decision is Decision.WAIT} == {429, 503}


def test_given_who_answers_when_a_caller_is_refused_then_what_each_means() -> None:
    assert on_status(401, Peer.EXPORT_API) is Decision.REFRESH_TOKEN
    assert on_status(403, Peer.EXPORT_API) is Decision.CONFIGURE
    assert on_status(403, Peer.STORAGE) is Decision.CONFIGURE
    assert on_status(401, Peer.WEBHOOK) is Decision.FAIL
    assert [on_status(status, Peer.MESSAGING) for status in (400, 401, 403, 404, 410)] == [
        Decision.FAIL, Decision.REFRESH_TOKEN, *[Decision.CONFIGURE] * 3
    ]  # fmt: skip
    with pytest.raises(ValueError, match="not an HTTP status"):
        on_status(99, Peer.STORAGE)


def _all_subclasses(base: type) -> set[type]:
    return {base} | {one for child in base.__subclasses__() for one in _all_subclasses(child)}


def test_given_every_exception_of_requests_when_looked_up_then_a_decision() -> None:
    for one in _all_subclasses(requests.exceptions.RequestException):
        assert on_exception(one.__new__(one)) is not None, one
    assert on_exception(requests.exceptions.InvalidURL()) is Decision.CONFIGURE
    assert on_exception(requests.exceptions.ChunkedEncodingError()) is Decision.RETRY
    assert on_exception(KeyError()) is None


@pytest.mark.parametrize(
    ("decision", "error"),
    [
        (Decision.RETRY, Transient),
        (Decision.WAIT, Throttled),
        (Decision.REFRESH_TOKEN, ConfigError),
        (Decision.CONFIGURE, ConfigError),
        (Decision.FAIL, Rejected),
    ],
)
def test_given_a_decision_made_an_error_then_it_says_whether_to_retry(decision, error) -> None:
    made = as_error(decision, "x", status=500, retry_after=7)
    assert type(made) is error
    assert made.retryable == (decision in (Decision.RETRY, Decision.WAIT))


def _answered(status: int) -> Exception:
    error = azure.core.exceptions.HttpResponseError("x")
    error.status_code = status
    return error


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (azure.core.exceptions.ServiceRequestError("x"), Transient),
        (azure.core.exceptions.ServiceResponseError("x"), Transient),
        (_answered(500), Transient),
        (_answered(429), Throttled),
        (_answered(403), ConfigError),
        (_answered(409), None),
        (KeyError("x"), None),
    ],
)
def test_given_a_storage_failure_when_sorted_then_by_the_table(raised: Exception, error) -> None:
    found = known_error(raised)
    assert (type(found) if found else None) is error
