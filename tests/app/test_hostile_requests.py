"""Requests at the edges, to the functions of both HTTP APIs: a 400 that names the field, never a 500."""

import asyncio
import base64
import inspect
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest
from durable_client import CLIENT

from mobexport.config import ExportsConfig
from mobexport.errors import MAX_PROBLEMS
from mobexport.export_api.tasks.selection import EVERYTHING
from mobexport.services import Services
from mobexport.settings import read_settings
from mobexport.storage import DataStorage
from triggers import batches, export_tasks, exports

SETTINGS = read_settings(
    {
        "DATA_STORAGE": "UseDevelopmentStorage=true",
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "EXPORT_API_AUTH": "none",
        "WEBSITE_HOSTNAME": "127.0.0.1:7071",
    }
)
# A request that is refused never gets as far as storage.
STORAGE: Any = SimpleNamespace(
    blobs=SimpleNamespace(url="https://team.blob.core.windows.net"), table=lambda _: None
)
SERVICES = Services(SETTINGS, ExportsConfig.model_validate({"apps": {"shop": {}}}), STORAGE)
URL = "https://team.blob.core.windows.net/c?sv=1&sr=c&sp=cw&se=2099-01-01&sig=SECRET"

REQUEST = {"exportType": "Event", "app": "shop", "startDate": "2025-03-23", "endDate": "2025-03-23"}
PUSH = {"exportType": "Push", "app": "shop", "campaignType": "Poll"}
WINDOW = {"campaignWindowStart": "2025-03-23T00:00:00Z", "campaignWindowEnd": "2025-03-24T00:00:00Z"}
BATCH = {"exportTypes": ["Event"], "app": "shop", "startDate": "2025-03-23", "endDate": "2025-03-23"}
TASK = {"containerUrl": URL, "exportFormat": "JsonBlob", "startDate": "2025-03-23", "endDate": "2025-03-23"}
FEEDBACK = {"containerUrl": URL, "exportFormat": "JsonBlob", "campaignType": "Poll"}


def answer(function: Any, *, body: bytes = b"", params: Any = None, route: Any = None, method: str = "POST"):
    request = func.HttpRequest(
        method,
        "http://evil.example/api/exports",
        headers={"Host": "evil.example"},
        params={"api-version": "2014-12-01", **(params or {})} if function is CREATE else params or {},
        route_params={"app": "shop", "taskType": "events", **(route or {})},
        body=body,
    )
    if inspect.iscoroutinefunction(function):
        found = asyncio.run(function(SERVICES, request, CLIENT))
    else:
        found = function(SERVICES, request)
    return found.status_code, found.get_body()


CREATE = export_tasks.create_export_task
BODIES = [
    (exports.request_export, REQUEST, {}),
    (batches.request_batch, BATCH, {}),
    (CREATE, TASK, {"taskType": "events"}),
]


@pytest.mark.parametrize(("function", "body", "route"), BODIES, ids=["export", "batch", "task"])
@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b"", "body"),
        (b"[1]", "body"),
        (b"\xff\xfe", "body"),
        (b"[" * 200_000, "body"),
        (b'{"x":' * 100 + b"1" + b"}" * 100, "x.x.x"),
        (b'{"app": "\\ud800"}', "app"),
        (b'{"\\udfff": 1}', "name"),
        (b'{"startDate": ' + b"9" * 5000 + b"}", "startDate"),
        (b'{"parallel": 1e999}', "parallel"),
        (b'{"description": NaN}', "description"),
        (b'{"x": "' + b"x" * 1024 * 1024 + b'"}', "1 MiB"),
    ],
    ids=range(11),
)
def test_given_an_unfit_body_then_400_that_names_the_place(function, body, route, text, place: str) -> None:
    status, said = answer(function, body=text, route=route)
    assert status == 400
    assert place in said.decode()
    assert len(said) < 3000


@pytest.mark.parametrize(
    ("function", "good", "changes", "field"),
    [
        (exports.request_export, REQUEST, {"startDate": "0001-01-01"}, "startDate"),
        (exports.request_export, REQUEST, {"startDate": "٢٠٢٥-03-23"}, "startDate"),
        (exports.request_export, REQUEST, {"endDate": "9999-12-31"}, "endDate"),
        (exports.request_export, REQUEST, {"startDate": ["2025-03-23"]}, "startDate"),
        (exports.request_export, REQUEST, {"app": "x" * 5000}, "app"),
        (exports.request_export, REQUEST, {"exportType": {"a": 1}}, "exportType"),
        (exports.request_export, REQUEST, {"notify": ["\x00"] * 100_000}, "notify"),
        (exports.request_export, REQUEST, {"containerUrl": f"{URL}&rsct={'x' * 9000}"}, "containerUrl"),
        (exports.request_export, REQUEST, {"containerUrl": f"{URL}&spr=http"}, "containerUrl"),
        (
            exports.request_export,
            PUSH | WINDOW,
            {"campaignWindowStart": "0001-01-01T00:00:00+14:00"},
            "campaignWindowStart",
        ),
        (
            exports.request_export,
            PUSH | WINDOW,
            {"campaignWindowEnd": "9999-12-31T23:59:59-14:00"},
            "campaignWindowEnd",
        ),
        (exports.request_export, PUSH, {"campaignIds": [2**63]}, "campaignIds"),
        (exports.request_export, PUSH, {"campaignIds": [10**99]}, "campaignIds"),
        (batches.request_batch, BATCH, {"startDate": "0001-01-01"}, "startDate"),
        (batches.request_batch, BATCH, {"windowDays": 10**30}, "windowDays"),
        (batches.request_batch, BATCH, {"exportTypes": [{}] * 5000}, "exportTypes"),
        (CREATE, TASK, {"startDate": "0001-01-01"}, "startDate"),
        (CREATE, TASK, {"endDate": "9999-12-31"}, "endDate"),
        (CREATE, TASK, {"containerUrl": f"{URL}&spr=http"}, "containerUrl"),
        (CREATE, FEEDBACK, {"campaignIds": [10**99] * 1000}, "campaignIds.0"),
        (CREATE, FEEDBACK, {"campaignIds": [{"a": []}] * 1000}, "campaignIds.0"),
        (
            CREATE,
            FEEDBACK | WINDOW,
            {"campaignWindowStart": "0001-01-01T00:00:00+14:00"},
            "campaignWindowStart",
        ),
    ],
)
def test_given_a_field_at_the_edge_then_400_that_names_it(function, good, changes, field: str) -> None:
    body = {**good, **changes}
    kind = "events" if "startDate" in body else "feedbackByDate"
    route = {"taskType": "feedbackByCampaign" if "campaignIds" in body else kind}
    status, said = answer(function, body=json.dumps(body).encode(), route=route)
    assert status == 400
    assert field in said.decode()
    assert "SECRET" not in said.decode()
    assert len(said) < 20_000


@pytest.mark.parametrize("function", [exports.request_export, batches.request_batch])
def test_given_60000_unknown_keys_then_twenty_are_named_the_rest_counted(function) -> None:
    body = {f"k{number:06}": 0 for number in range(60_000)}
    status, said = answer(function, body=json.dumps(body).encode())
    assert status == 400
    assert len(said) < 20_000
    shown = json.loads(said)
    assert len(shown["problems"]) == MAX_PROBLEMS
    assert shown["moreProblems"] > 59_000
    assert f"and {shown['moreProblems']} more" in shown["detail"]


def test_given_long_unknown_keys_then_they_are_cut() -> None:
    body = {f"{number}{'k' * 50_000}": 0 for number in range(20)}
    status, said = answer(exports.request_export, body=json.dumps({**REQUEST, **body}).encode())
    assert (status, len(said) < 50_000) == (400, True)


def token(value: Any) -> str:
    return base64.urlsafe_b64encode(
        value if isinstance(value, bytes) else json.dumps(value).encode()
    ).decode()


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"continuation": "%%%"}, "continuation"),
        ({"continuation": "\u0661"}, "continuation"),
        ({"continuation": token(b"[" * 3000)}, "continuation"),
        ({"continuation": token(b'{"PartitionKey": "\\ud800", "RowKey": "x"}')}, "continuation"),
        ({"continuation": token({"PartitionKey": 1, "RowKey": "x"})}, "continuation"),
        ({"continuation": token({"PartitionKey": "x" * 5000, "RowKey": "x"})}, "continuation"),
        ({"continuation": token(["PartitionKey", "RowKey"])}, "continuation"),
        ({"continuation": token([{}])}, "continuation"),
        ({"limit": "1" + "0" * 5000}, "limit"),
        ({"limit": "000000001" + "9" * 5000}, "limit"),
        ({"limit": "\u0661"}, "limit"),
        ({"createdFrom": "0001-01-01T00:00:00+14:00"}, "createdFrom"),
        ({"createdTo": "9999-12-31T23:59:59-14:00"}, "createdTo"),
        ({"app": "a\0b"}, "app"),
        ({"app": "x" * 65}, "app"),
        ({f"x{number}": "1" for number in range(5000)}, "more"),
    ],
)
def test_given_a_hostile_list_query_then_400_that_names_the_option(params, field: str) -> None:
    status, said = answer(exports.list_exports, params=params, method="GET")
    assert status == 400
    assert field in said.decode()
    assert len(said) < 20_000


@pytest.mark.parametrize("id_", ["a\0b", "a/b", "a#b", "\ud800", "..", "x" * 5000, "A"])
def test_given_an_id_that_cannot_be_then_404_without_asking_storage(id_: str) -> None:
    for function in (exports.get_export, batches.get_batch):
        assert answer(function, route={"exportId": id_, "batchId": id_}, method="GET")[0] == 404
    assert answer(exports.cancel_export, route={"exportId": id_})[0] == 404


def test_given_a_batch_at_the_last_day_then_read() -> None:
    from mobexport.pipeline.requests.batch_parsing import parse_batch

    then = datetime(9999, 12, 31, 12, tzinfo=UTC)
    body = {"app": "shop", "startDate": "9999-12-01", "endDate": "9999-12-31", "windowDays": 366}
    batch = parse_batch(body, SERVICES.config, SETTINGS, then)
    ends = {item.request.window[1].isoformat() for item in batch.items if item.request.window}
    assert ends == {"9999-12-31"}
    pushes = {item.request.campaign.window[1] for item in batch.items if item.request.campaign}
    assert pushes == {"9999-12-31T23:59:59.999Z"}


def test_given_another_host_in_the_request_then_links_name_our_own(azurite) -> None:
    settings = read_settings(
        {
            "DATA_STORAGE": azurite.connection_string,
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "EXPORT_API_AUTH": "none",
            "WEBSITE_HOSTNAME": "127.0.0.1:7071",
        }
    )
    config = ExportsConfig.model_validate({"apps": {"links": {}}})
    services = Services(settings, config, DataStorage(settings))
    exported = [services.request_export({"exportType": name, "app": "links"})[0] for name in ("Tag", "Token")]
    batch = services.request_batch({"exportTypes": ["Tag"], "app": "links"})[0]
    for _ in range(2):
        services.tasks.add("links", "Tag", EVERYTHING, URL)

    def get(function: Any, path: str, **params: str) -> str:
        request = func.HttpRequest(
            "GET",
            f"http://evil.example{path}?code=KEY",
            headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"},
            params={"api-version": "2014-12-01", **params} if "Tasks" in path else params,
            route_params={"app": "links", "exportId": exported[0].id, "batchId": batch.id},
            body=b"",
        )
        found = function(services, request)
        assert found.status_code == 200, found.get_body()
        return found.get_body().decode()

    own = "http://127.0.0.1:7071/api"
    tasks = "/api/subscriptions/s/x/devices/exportTasks"
    for said, link in (
        (get(exports.get_export, f"/api/exports/{exported[0].id}"), f"{own}/exports/{exported[0].id}"),
        (get(exports.list_exports, "/api/exports", app="links", limit="1"), f"{own}/exports?app=links"),
        (get(batches.get_batch, f"/api/batches/{batch.id}"), f"{own}/batches/{batch.id}"),
        (
            get(export_tasks.list_export_tasks, tasks, **{"$top": "1"}),
            f"http://127.0.0.1:7071{tasks}?api-version=2014-12-01&$skip=1",
        ),
    ):
        assert link in said
        assert "evil.example" not in said
        assert "KEY" not in said
    created = func.HttpRequest("POST", f"http://evil.example{tasks}/tags?sig=x", body=b"")
    assert export_tasks._link(services, created, "t1") == (
        f"http://127.0.0.1:7071{tasks}/t1?api-version=2014-12-01"
    )
