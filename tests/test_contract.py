"""The wire of the Export API: what is read, what is refused, and that nothing changes on the way."""

import json
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobexport import export_types
from mobexport.contract import (
    FIRST_DAY,
    MAX_CAMPAIGNS,
    MAX_DAYS,
    MAX_DESCRIPTION,
    MAX_TOP,
    ORDER_FIELDS,
    PARAMETERS,
    DateRangeExportTaskParameter,
    ExportTaskParameter,
    ExportTaskResult,
    FeedbackByCampaignParameter,
    FeedbackByDateRangeParameter,
    ListOptions,
    check_api_version,
    parse,
    parse_list_options,
)
from mobexport.errors import Problem, RequestError
from mobexport.export_api.tasks.selection import EVERYTHING, Selection
from mobexport.export_types import Parameters

SNAPSHOT = {"containerUrl": "https://x/c?sig=1", "exportFormat": "JsonBlob"}
DATES = {**SNAPSHOT, "startDate": "2025-03-23", "endDate": "2025-03-24"}
FEEDBACK = {**SNAPSHOT, "campaignType": "Announcement"}
WINDOW = {
    **FEEDBACK,
    "campaignWindowStart": "2025-03-23T00:00:00Z",
    "campaignWindowEnd": "2025-03-24T02:00:00.5+02:00",
}
CAMPAIGNS = {**FEEDBACK, "campaignIds": [3, 1, 3]}
BODIES = {
    Parameters.SNAPSHOT: SNAPSHOT,
    Parameters.DATES: DATES,
    Parameters.FEEDBACK_DATES: WINDOW,
    Parameters.FEEDBACK_CAMPAIGNS: CAMPAIGNS,
}


def test_every_declared_route_has_a_body_with_the_contracts_names() -> None:
    routes = {one.name: one.parameters for declared in export_types.all_types() for one in declared.routes}
    assert routes == {
        **dict.fromkeys(
            ("activities", "crashes", "errors", "events", "jobs", "sessions"), "dateRangeExportTaskParameter"
        ),
        **dict.fromkeys(("tags", "tokens", "devices"), "exportTaskParameter"),
        "feedbackByDate": "feedbackByDateRangeParameter",
        "feedbackByCampaign": "feedbackByCampaignParameter",
    }
    assert set(PARAMETERS) == set(Parameters)


def test_given_the_bodies_of_the_contract_when_read_then_what_they_select() -> None:
    assert Selection.of(parse(ExportTaskParameter, SNAPSHOT)) == EVERYTHING
    days = (date(2025, 3, 23), date(2025, 3, 24))
    assert Selection.of(parse(DateRangeExportTaskParameter, DATES)) == Selection(days)
    instants = (datetime(2025, 3, 23, tzinfo=UTC), datetime(2025, 3, 24, 0, 0, 0, 500_000, UTC))
    assert Selection.of(parse(FeedbackByDateRangeParameter, WINDOW)) == Selection(
        instants, {"campaignType": ("Announcement",)}
    )
    assert Selection.of(parse(FeedbackByCampaignParameter, CAMPAIGNS)) == Selection(
        only={"campaignType": ("Announcement",), "campaignId": (1, 3)}
    )


@pytest.mark.parametrize("parameters", list(Parameters))
@given(data=st.data())
def test_given_names_in_any_case_when_read_then_the_same(parameters: Parameters, data: st.DataObject) -> None:
    body = BODIES[parameters]
    spelled = {
        data.draw(st.sampled_from([k, k.lower(), k.upper(), k[0].upper() + k[1:]])): v
        for k, v in body.items()
    }
    extra = data.draw(st.dictionaries(st.text(min_size=1).map(lambda name: f"x-{name}"), st.integers()))
    model = PARAMETERS[parameters]
    assert parse(model, {**extra, **spelled}) == parse(model, body)
    selection = Selection.of(parse(model, body))
    assert Selection.from_json(json.loads(json.dumps(selection.to_json()))) == selection


@pytest.mark.parametrize(
    ("model", "body", "fields"),
    [
        (ExportTaskParameter, {}, {"containerUrl", "exportFormat"}),
        (DateRangeExportTaskParameter, {}, {"containerUrl", "exportFormat", "startDate", "endDate"}),
        (
            FeedbackByDateRangeParameter,
            {},
            {"containerUrl", "exportFormat", "campaignType", "campaignWindowStart", "campaignWindowEnd"},
        ),
        (
            FeedbackByCampaignParameter,
            {},
            {"containerUrl", "exportFormat", "campaignType", "campaignIds"},
        ),
        (ExportTaskParameter, [], {"body"}),
        (ExportTaskParameter, None, {"body"}),
        (ExportTaskParameter, {**SNAPSHOT, "containerUrl": 7}, {"containerUrl"}),
        (ExportTaskParameter, {**SNAPSHOT, "containerUrl": None}, {"containerUrl"}),
        (ExportTaskParameter, {**SNAPSHOT, "containerUrl": "x" * 8193}, {"containerUrl"}),
        (ExportTaskParameter, {**SNAPSHOT, "exportFormat": "jsonblob"}, {"exportFormat"}),
        (ExportTaskParameter, {**SNAPSHOT, "ContainerUrl": "y"}, {"containerUrl"}),
        (ExportTaskParameter, {**SNAPSHOT, "description": 7}, {"description"}),
        (ExportTaskParameter, {**SNAPSHOT, "description": "x" * (MAX_DESCRIPTION + 1)}, {"description"}),
        (ExportTaskParameter, {**SNAPSHOT, "description": "half \ud800"}, {"description"}),
        (DateRangeExportTaskParameter, {**DATES, "startDate": "2025-03-25"}, {"endDate"}),
        (DateRangeExportTaskParameter, {**DATES, "startDate": "2025-02-30"}, {"startDate"}),
        (DateRangeExportTaskParameter, {**DATES, "startDate": "2025-03-23T00:00:00Z"}, {"startDate"}),
        (DateRangeExportTaskParameter, {**DATES, "startDate": "0001-01-01"}, {"startDate"}),
        (DateRangeExportTaskParameter, {**DATES, "startDate": "٢٠٢٥-03-23"}, {"startDate"}),
        (DateRangeExportTaskParameter, {**DATES, "endDate": "9999-12-31"}, {"endDate"}),
        (DateRangeExportTaskParameter, {**DATES, "endDate": 20250324}, {"endDate"}),
        (
            DateRangeExportTaskParameter,
            {**DATES, "containerUrl": 1, "exportFormat": 1, "startDate": "2025-03-25", "description": 1},
            {"containerUrl", "exportFormat", "endDate", "description"},
        ),
        (FeedbackByDateRangeParameter, {**WINDOW, "campaignType": "Spam"}, {"campaignType"}),
        (
            FeedbackByDateRangeParameter,
            {**WINDOW, "campaignWindowStart": "2025-03-23"},
            {"campaignWindowStart"},
        ),
        (
            FeedbackByDateRangeParameter,
            {**WINDOW, "campaignWindowStart": "2025-03-23T00:00:00"},
            {"campaignWindowStart"},
        ),
        (
            FeedbackByDateRangeParameter,
            {**WINDOW, "campaignWindowStart": "0001-01-01T00:00:00+14:00"},
            {"campaignWindowStart"},
        ),
        (
            FeedbackByDateRangeParameter,
            {**WINDOW, "campaignWindowStart": "2025-03-24T00:00:01Z"},
            {"campaignWindowEnd"},
        ),
        (FeedbackByCampaignParameter, {**CAMPAIGNS, "campaignIds": []}, {"campaignIds"}),
        (FeedbackByCampaignParameter, {**CAMPAIGNS, "campaignIds": 7}, {"campaignIds"}),
        (FeedbackByCampaignParameter, {**CAMPAIGNS, "campaignIds": ["7"]}, {"campaignIds.0"}),
        (FeedbackByCampaignParameter, {**CAMPAIGNS, "campaignIds": [1, True]}, {"campaignIds.1"}),
        (FeedbackByCampaignParameter, {**CAMPAIGNS, "campaignIds": [1.5]}, {"campaignIds.0"}),
        (
            FeedbackByCampaignParameter,
            {**CAMPAIGNS, "campaignIds": [2**63, -(2**63) - 1]},
            {"campaignIds.0", "campaignIds.1"},
        ),
        (FeedbackByCampaignParameter, {**CAMPAIGNS, "campaignIds": [float("nan")]}, {"campaignIds.0"}),
        (
            FeedbackByCampaignParameter,
            {**CAMPAIGNS, "campaignIds": list(range(MAX_CAMPAIGNS + 1))},
            {"campaignIds"},
        ),
    ],
)
def test_given_a_wrong_body_when_read_then_every_wrong_field_is_named(model, body, fields: set[str]) -> None:
    with pytest.raises(RequestError) as refused:
        parse(model, body)
    assert {problem[0] for problem in refused.value.problems} == fields
    assert all(field in refused.value.message for field in fields - {"body"})


@pytest.mark.parametrize("ids", [[1], [-(2**63), 2**63 - 1], [7.0], [0], list(range(MAX_CAMPAIGNS))])
def test_given_campaign_ids_when_whole_numbers_then_taken(ids: list) -> None:
    assert parse(FeedbackByCampaignParameter, {**CAMPAIGNS, "campaignIds": ids}).campaign_ids == tuple(ids)


def test_given_the_longest_window_when_read_then_taken() -> None:
    last = date.fromordinal(FIRST_DAY.toordinal() + MAX_DAYS - 1)
    body = {**DATES, "startDate": FIRST_DAY.isoformat(), "endDate": last.isoformat()}
    assert parse(DateRangeExportTaskParameter, body).end_date == last


def test_given_a_refused_container_url_then_named_with_other_problems() -> None:
    def refuse(url: str) -> None:
        raise RequestError(
            "no", code="InvalidContainerUrl", problems=[Problem("containerUrl", "is wrong {x}")]
        )

    with pytest.raises(RequestError) as refused:
        parse(ExportTaskParameter, SNAPSHOT, refuse)
    assert (refused.value.own_code, refused.value.message) == (
        "InvalidContainerUrl",
        "containerUrl: is wrong {x}",
    )
    with pytest.raises(RequestError) as refused:
        parse(ExportTaskParameter, {**SNAPSHOT, "exportFormat": "Xml"}, refuse)
    assert refused.value.own_code == "BadRequest"
    assert {problem[0] for problem in refused.value.problems} == {"containerUrl", "exportFormat"}


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300))
def test_given_any_description_when_read_and_shown_then_the_same(text: str) -> None:
    assert parse(ExportTaskParameter, {**SNAPSHOT, "description": text}).description == text
    shown = ExportTaskResult(
        id="1", description=text, state="Queued", date_created="x", export_type="Tag"
    ).to_json()
    assert json.loads(json.dumps(shown))["description"] == text
    assert "errorDetails" not in shown


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ({}, ListOptions()),
        ({"$SKIP": "7", "$Top": "40"}, ListOptions(skip=7, top=40)),
        ({"$orderby": "dateCreated desc"}, ListOptions(order_by="dateCreated", descending=True)),
        ({"$orderby": " TASKSTATUS  ASC "}, ListOptions(order_by="taskStatus")),
        ({"$orderby": "errorDetails"}, ListOptions(order_by="errorDetails")),
        ({"other": "1"}, ListOptions()),
    ],
)
def test_given_list_options_when_read_then_these(query: dict[str, str], options: ListOptions) -> None:
    assert parse_list_options(query) == options


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"$skip": "-1"}, "$skip"),
        ({"$skip": "1.5"}, "$skip"),
        ({"$skip": ""}, "$skip"),
        ({"$skip": "2147483648"}, "$skip"),
        ({"$skip": "٣"}, "$skip"),
        ({"$top": "0"}, "$top"),
        ({"$top": "41"}, "$top"),
        ({"$orderby": "name"}, "$orderby"),
        ({"$orderby": ""}, "$orderby"),
        ({"$orderby": "taskId up"}, "$orderby"),
        ({"$orderby": "taskId asc, dateCreated"}, "$orderby"),
    ],
)
def test_given_wrong_list_options_when_read_then_named(query: dict[str, str], field: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_list_options(query)
    assert [problem[0] for problem in refused.value.problems] == [field]


@given(
    st.builds(
        ListOptions,
        skip=st.integers(0, 10**6),
        top=st.integers(1, MAX_TOP),
        order_by=st.sampled_from(ORDER_FIELDS),
        descending=st.booleans(),
    )
)
def test_given_list_options_when_written_as_a_query_then_read_back(options: ListOptions) -> None:
    assert parse_list_options(options.to_query()) == options


def test_given_another_version_when_checked_then_its_own_code() -> None:
    check_api_version({"API-Version": "2014-12-01"})
    for query in ({}, {"api-version": "2015-01-01"}, {"api-version": ""}):
        with pytest.raises(RequestError) as refused:
            check_api_version(query)
        assert refused.value.own_code == "InvalidApiVersionParameter"
