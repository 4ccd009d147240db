"""HTTP functions against the real host: an exception would be an empty 500, a doubled option is one text."""

import asyncio
import inspect
import json
from typing import Any

import azure.functions as func
import pytest
from durable_client import CLIENT

from durable_app.http import read_json
from mobexport.config import ExportsConfig
from mobexport.contract import parse_list_options
from mobexport.errors import RequestError
from mobexport.ids import new_task_id
from mobexport.pipeline.registry.states import State
from mobexport.pipeline.requests.export_list import parse_list_query
from mobexport.services import Services
from mobexport.settings import read_settings
from triggers import batches, export_tasks, exports, targets

LOCAL = {
    "DATA_STORAGE": "UseDevelopmentStorage=true",
    "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
    "EXPORT_API_AUTH": "none",
}
FUNCTIONS = {
    built.get_function_name(): getattr(module, built.get_function_name())
    for module in (exports, batches, targets, export_tasks)
    for built in (builder.build() for builder in module.blueprint.sdk._function_builders)
}
CONFIG = ExportsConfig.model_validate(
    {
        "targets": {"t": {"kind": "storage-queue", "queue": "tests"}},
        "apps": {"a": {"schedule": {"types": ["Event"]}}},
    }
)
BODIES = {
    "request_export": {"exportType": "Tag", "app": "a"},
    "request_batch": {"exportTypes": ["Tag"], "app": "a"},
    "create_export_task": {
        "containerUrl": "http://127.0.0.1/a/c?sv=1&sr=c&sp=cw&se=2999-01-01&sig=c2VjcmV0",
        "exportFormat": "JsonBlob",
        "startDate": "2025-03-23",
        "endDate": "2025-03-23",
    },
}


class Broken:
    """A storage client with a bug."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError("https://a/c?sig=SECRET")


def answer(name: str, **settings: str) -> func.HttpResponse:
    """What a function answers in an app whose storage client has a bug."""
    services = Services(read_settings({**LOCAL, **settings}), CONFIG, Broken())
    params = {
        "target": "t",
        "exportId": "e",
        "batchId": "b",
        "app": "a",
        "taskId": new_task_id(),
        "taskType": "events",
    }
    request = func.HttpRequest(
        "POST",
        "http://localhost/api/exports/batches/exportTasks",
        headers={},
        params={} if "export_task" not in name else {"api-version": "2014-12-01"},
        route_params=params,
        body=json.dumps(BODIES.get(name, {})).encode(),
    )
    function = FUNCTIONS[name]
    if inspect.iscoroutinefunction(function):
        return asyncio.run(function(services, request, CLIENT))
    return function(services, request)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_given_a_bug_in_a_function_then_500_with_a_body_and_no_secret(caplog, name: str) -> None:
    found = answer(name)
    assert found.status_code == 500
    body = json.loads(found.get_body())
    assert "unexpected failure" in (body.get("detail") or body["error"]["message"])
    assert "SECRET" not in found.get_body().decode() + caplog.text
    assert "KeyError" in caplog.text


@pytest.mark.parametrize("name", sorted(name for name in FUNCTIONS if "task" not in name))
def test_given_a_serving_only_app_then_pipeline_calls_get_503_for_role(name: str) -> None:
    found = answer(name, ROLE="export-api")
    assert found.status_code == 503
    assert "ROLE" in json.loads(found.get_body())["detail"]


def test_given_a_chunked_body_then_the_error_explains_content_length() -> None:
    empty = func.HttpRequest("POST", "http://localhost/api/exports", body=b"")
    with pytest.raises(RequestError, match="Content-Length"):
        read_json(empty)


def test_given_an_option_twice_then_refused_or_a_list_never_the_last() -> None:
    # The host makes `?limit=1&LIMIT=2` one option `1,2`, under the first spelling.
    assert parse_list_query({"STATE": "failed,Empty"}).states == (State.FAILED, State.EMPTY)
    for query in ({"limit": "1,2"}, {"createdFrom": "2025-01-01,2025-01-02"}, {"exportType": "Tag,Event"}):
        with pytest.raises(RequestError):
            parse_list_query(query)
    for query in ({"$top": "1,2"}, {"$SKIP": "0,1"}, {"$orderby": "taskId,state"}):
        with pytest.raises(RequestError):
            parse_list_options(query)
