"""The pure decisions: retries, polling, states, requests."""

import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobexport.config import ExportsConfig
from mobexport.errors import RequestError
from mobexport.pipeline.jobs.poll_policy import PollPolicy, PollProgress, Seen, decide, delay
from mobexport.pipeline.registry.export_request import ExportRequest
from mobexport.pipeline.registry.states import STATE_OF_JOB, TABLE, JobState, State, can_move, end_state
from mobexport.pipeline.requests.request_parsing import parse_request
from mobexport.redact import redact
from mobexport.retry_policy import RetryPolicy, next_delay
from mobexport.settings import read_settings
from mobexport.wire import Failure

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
POLICY = PollPolicy(first=5, most=300, queue_deadline=3600, run_deadline=7200, total_deadline=10_000)
BEGAN = PollProgress(polls=0, errors=0, began=NOW, state=JobState.QUEUED, since=NOW)
DOWN = Failure("Transient", "remote", "down", retryable=True)
SETTINGS = read_settings(
    {"DATA_STORAGE": "UseDevelopmentStorage=true", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
)
CONFIG = ExportsConfig.model_validate(
    {
        "apps": {"shop": {"notify": ["q"]}, "strict.shop": {"checks": "strict"}},
        "targets": {"q": {"kind": "storage-queue"}},
    }
)


@given(st.integers(1, 10_000), st.text(max_size=20))
def test_given_any_try_when_delayed_then_bounded_and_the_same_in_a_replay(tried: int, token: str) -> None:
    policy = RetryPolicy(first=2, most=60, attempts=10_001)
    first = next_delay(policy, tried, token, DOWN)
    assert first == next_delay(policy, tried, token, DOWN)
    assert first is not None
    assert 2 * 0.8 <= first <= 60 * 1.2


def test_given_retry_after_when_delayed_then_not_before() -> None:
    policy = RetryPolicy(first=2, most=60, attempts=3)
    assert next_delay(policy, 1, "t", replace(DOWN, retry_after=500)) == 500
    assert next_delay(policy, 3, "t", DOWN) is None
    assert next_delay(policy, 1, "t", replace(DOWN, retryable=False)) is None


def test_given_polls_when_delayed_then_doubling_to_the_cap() -> None:
    delays = [
        delay(POLICY, PollProgress(n, 0, NOW, JobState.RUNNING, NOW), "t", None, NOW) for n in range(1, 12)
    ]
    assert 4 <= delays[0] <= 6
    assert 240 <= delays[-1] <= 360
    assert delay(POLICY, BEGAN, "t", 999, NOW) == 999


@pytest.mark.parametrize(("state", "seconds"), [(JobState.QUEUED, 3600), (JobState.RUNNING, 7200)])
def test_given_a_server_asking_for_a_day_then_no_wait_past_the_deadline(
    state: JobState, seconds: int
) -> None:
    since = NOW + timedelta(seconds=100)
    progress = PollProgress(1, 0, NOW, state, since)
    waited = delay(POLICY, progress, "t", 86_400, since + timedelta(seconds=50))
    assert waited == min(seconds - 50, 10_000 - 150)
    # And then the limit is over.
    end = since + timedelta(seconds=50 + waited)
    assert decide(POLICY, progress, Seen(state), "t", end).end is not None


@pytest.mark.parametrize(
    ("state", "seconds", "limit"),
    [
        (JobState.QUEUED, 3600, "QUEUE_DEADLINE"),
        (JobState.RUNNING, 7200, "RUN_DEADLINE"),
        (JobState.RUNNING, 1000, "TOTAL_DEADLINE"),
    ],
)
def test_given_a_deadline_when_passed_then_timed_out_naming_it(
    state: JobState, seconds: int, limit: str
) -> None:
    policy = replace(POLICY, total_deadline=1000) if limit == "TOTAL_DEADLINE" else POLICY
    progress = PollProgress(3, 0, NOW, state, NOW)

    def end_after(passed: float):
        return decide(policy, progress, Seen(state), "t", NOW + timedelta(seconds=passed)).end

    # Timers fire up to a second early, so a deadline that was waited for counts as passed then.
    end = end_after(seconds - 0.9)
    assert end.failure.code == "TimedOut"
    assert limit in end.failure.message
    assert end_after(seconds - 5) is None


def test_given_an_api_down_when_polled_then_asked_until_a_deadline() -> None:
    progress, now, polls = BEGAN, NOW, 0
    while (found := decide(POLICY, progress, DOWN, "t", now)).end is None:
        progress, polls = found.progress, polls + 1
        now += timedelta(seconds=found.wait)
    assert found.end.failure.code == "TimedOut"
    assert DOWN.message in found.end.failure.message
    assert polls > 10
    assert decide(POLICY, progress, Seen(JobState.RUNNING), "t", NOW).progress.errors == 0


def test_given_a_refusal_when_polled_then_failed_at_once() -> None:
    refused = replace(DOWN, retryable=False)
    assert decide(POLICY, BEGAN, refused, "t", NOW).end.failure == refused


def test_given_the_table_of_states_when_read_then_it_is_whole() -> None:
    assert set(TABLE) == set(State)
    reached = {after for rule in TABLE.values() for after in rule.next}
    assert reached == set(State) - {State.REQUESTED}
    assert {state for state in State if state.terminal} == {
        State.SUCCEEDED,
        State.EMPTY,
        State.HANDED_OVER,
        State.FAILED,
        State.TIMED_OUT,
        State.CANCELLED,
    }
    assert not can_move(State.PROCESSING, State.CANCELLED)
    assert not can_move(State.FAILED, State.FAILED)
    assert STATE_OF_JOB == {
        JobState.QUEUED: State.QUEUED,
        JobState.RUNNING: State.RUNNING,
        JobState.SUCCEEDED: State.COLLECTING,
        JobState.FAILED: State.FAILED,
    }
    assert {state for state in State if state.restartable} == {State.FAILED, State.TIMED_OUT, State.CANCELLED}


@pytest.mark.parametrize("before", [state for state in State if not state.terminal])
@pytest.mark.parametrize("code", [None, "TimedOut", "Cancelled", "X"])
@pytest.mark.parametrize(
    ("cancelled", "committed", "records"),
    [(False, False, 0), (True, False, 0), (True, True, 0), (False, True, 3)],
)
def test_given_any_outcome_then_the_end_state_is_terminal_and_allowed(
    before: State, code, cancelled: bool, committed: bool, records: int
) -> None:  # fmt: skip
    failure = Failure(code, "bug", "x") if code else None
    state = end_state(before, failure, cancelled=cancelled, committed=committed, records=records)
    assert state.terminal
    if committed:
        assert state is (State.SUCCEEDED if records else State.EMPTY)
        return
    assert can_move(before, state)
    # A flag is accepted in a cancellable state only, and from there it wins over everything.
    assert (state is State.CANCELLED) == (cancelled and before.cancellable)


def parse(**body) -> ExportRequest:
    return parse_request(body, CONFIG, SETTINGS, NOW).request


def test_given_the_same_request_when_made_twice_then_the_same_id() -> None:
    one = parse(exportType="event", app="shop", startDate="2025-03-23", endDate="2025-03-24")
    assert (
        one.id
        == parse(exportType="Event", app="shop", startDate="2025-03-23", endDate="2025-03-24", notify=[]).id
    )
    assert one.id.startswith("shop-event-2025-03-23-2025-03-24-")
    assert one.notify == ("q",)
    assert ExportRequest.from_json(one.to_json()) == one


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", fullmatch=True))
def test_given_any_app_when_named_then_the_id_keeps_its_form(app: str) -> None:
    day = date(2025, 3, 23)
    request = ExportRequest(app, "Event", (day, day), None, (), False, NOW)
    assert 0 < len(request.id) <= 100
    assert set(request.id) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_given_a_snapshot_when_parsed_then_its_day_is_that_of_the_request() -> None:
    assert parse(exportType="Tag", app="strict.shop").days == (date(2026, 11, 24),)
    assert parse(exportType="Tag", app="strict.shop").strict


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"exportType", "app"}),
        ({"exportType": "Fax", "app": "shop"}, {"exportType"}),
        ({"exportType": "Event", "app": "shop"}, {"startDate", "endDate"}),
        (
            {"exportType": "Event", "app": "shop", "startDate": "2025-02-30", "endDate": "2025-03-01"},
            {"startDate"},
        ),
        (
            {"exportType": "Event", "app": "shop", "startDate": "2025-03-02", "endDate": "2025-03-01"},
            {"endDate"},
        ),
        (
            {"exportType": "Event", "app": "shop", "startDate": "2020-01-01", "endDate": "2025-03-01"},
            {"endDate"},
        ),
        ({"exportType": "Tag", "app": "shop", "startDate": "2025-03-01"}, {"startDate"}),
        ({"exportType": "Tag", "app": "none"}, {"app"}),
        ({"exportType": "Tag", "app": "shop", "notify": ["fax"]}, {"notify"}),
        ({"exportType": "Tag", "app": "shop", "notify": "q"}, {"notify"}),
        ({"exportType": "Tag", "app": "shop", "rerun": "yes"}, {"rerun"}),
        ({"exportType": "Tag", "app": "shop", "format": "CsvBlob"}, {"format"}),
        ({"exportType": "Tag", "app": "shop", "containerUrl": "https://x"}, {"containerUrl"}),
        ({"exportType": "Tag", "app": "shop", "containerUrl": 7}, {"containerUrl"}),
        ({"exportType": "Tag", "app": "shop", "campaignType": "Poll"}, {"campaignType"}),
        (
            {"exportType": "Push", "app": "shop"},
            {"campaignType", "campaignWindowStart", "campaignWindowEnd"},
        ),
        ({"exportType": "Push", "app": "shop", "campaignType": "Poll", "campaignIds": []}, {"campaignIds"}),
        (
            {"exportType": "Push", "app": "shop", "campaignType": "Poll", "campaignIds": [1, True]},
            {"campaignIds"},
        ),
        (
            {
                "exportType": "Push",
                "app": "shop",
                "campaignType": "Poll",
                "campaignWindowStart": "2025-03-23T00:00:00",
                "campaignWindowEnd": "2025-03-24T00:00:00Z",
            },
            {"campaignWindowStart"},
        ),
        (
            {
                "exportType": "Push",
                "app": "shop",
                "campaignType": "Poll",
                "campaignWindowStart": "2025-03-25T00:00:00Z",
                "campaignWindowEnd": "2025-03-24T00:00:00Z",
            },
            {"campaignWindowEnd"},
        ),
        ({"exportType": "Tag", "app": "shop", "exporttype": "Tag"}, {"exporttype"}),
        ([], {"body"}),
    ],
)
def test_given_a_wrong_body_when_parsed_then_every_problem_is_named(body, fields: set[str]) -> None:
    with pytest.raises(RequestError) as error:
        parse_request(body, CONFIG, SETTINGS, NOW)
    assert {problem[0] for problem in error.value.problems} == fields


def test_given_push_requests_then_ids_and_windows_are_different_exports() -> None:
    one = {"exportType": "Push", "app": "shop", "campaignType": "Poll"}
    window = {"campaignWindowStart": "2025-03-23T01:00:00+01:00", "campaignWindowEnd": "2025-03-24T00:00:00Z"}
    by_time, by_ids = parse(**one, **window), parse(**one, campaignIds=[7, 3, 7])
    assert by_time.parameters()["campaignWindowStart"] == "2025-03-23T00:00:00Z"
    assert by_ids.parameters()["campaignIds"] == [3, 7]
    assert (by_time.route, by_ids.route) == ("feedbackByDate", "feedbackByCampaign")
    ids = {by_time.id, by_ids.id, parse(**{**one, "campaignType": "DataPush"}, campaignIds=[3, 7]).id}
    assert len(ids) == 3
    for request in (by_time, by_ids):
        assert ExportRequest.from_json(request.to_json()) == request


def test_given_a_users_container_then_another_export_without_the_secret() -> None:
    url = "http://127.0.0.1:10000/devstoreaccount1/mine?sv=1&sr=c&sp=cw&se=2099-01-01T00:00:00Z&sig=SECRET"
    body = {"exportType": "Tag", "app": "shop", "containerUrl": url, "format": "CsvBlob"}
    asked = parse_request(body, CONFIG, SETTINGS, NOW)
    assert (asked.container_url, asked.request.destination) == (url, "127.0.0.1:10000/mine")
    assert asked.request.export_format == "CsvBlob"
    assert "SECRET" not in str(asked) + str(asked.request.to_json())
    renewed = parse_request({**body, "containerUrl": url.replace("SECRET", "NEW")}, CONFIG, SETTINGS, NOW)
    assert renewed.request.id == asked.request.id != parse(exportType="Tag", app="shop").id


@pytest.mark.parametrize(
    "text",
    [
        "https://a.blob.core.windows.net/c?sv=1&sig=SECRET%3D&se=2026",
        "Authorization: Bearer SECRET.SECRET",
        "DefaultEndpointsProtocol=https;AccountKey=SECRET==;EndpointSuffix=x",
        "whsec_SECRET",
        "GET /x?code=SECRET== HTTP/1.1",
        "containerUrl%3D%26sig%3DSECRET",
        "https://a/c?a=b%2526sig%253DSECRET%2526se=1",
        "%25252526sig%2525253DSECRET",
        '{"message": "https://a/c?sv=1\\u0026sig=SECRET\\u0026se=1"}',
        '{"message": "https://a/c?sv=1\\u0026sig\\u003dSECRET"}',
        "https://a/c?sv=1&amp;sig=SECRET",
        "x26sig&#61;SECRET",
        "{'sv': '1', 'sig': 'SECRET/+='}",
        '{\\"sig\\":\\"SECRET\\"}',
        "token eyJhbGciOiJub25lIn0.SECRET.SECRET was refused",
        "Authorization%3A%20Bearer%20SECRET",
        "POST https://hooks.slack.com/services/T0/B0/SECRET failed",
        "hooks.slack-gov.com%2Fservices%2FSECRET",
        "{'aeg-sas-key': 'SECRET/+='}",
    ],
)
def test_given_a_secret_in_text_when_redacted_then_gone(text: str) -> None:
    assert "SECRET" not in redact(text)
    assert redact(redact(text)) == redact(text)


def test_given_long_text_when_redacted_then_in_a_moment() -> None:
    began = time.process_time()
    for part in ("eyJ", "sig", "bearer ", "%25", "sig%25", "eyJa.", "whsec_", "\\u0026sig="):
        redact(part * (2_000_000 // len(part)))
    assert time.process_time() - began < 20
