"""The running Export API under two clients that nobody here wrote: the official one, and schemathesis."""

import json
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
import requests
from entra_tenant import CLIENT
from jsonschema import Draft202012Validator

from mobexport import cli
from mobexport.contract import ORDER_FIELDS
from mobexport.export_api.openapi import BASE_PATH, describe
from mobexport.export_api.tasks.selection import EVERYTHING
from mobexport.export_api.tasks.task_registry import TaskRegistry

ROOT = Path(__file__).parent.parent.parent
CLIENT_SCRIPT = Path(__file__).parent / "official_client.js"
CONTRACT_SCHEMA = ROOT.parent / "shared" / "contract" / "export-files.schema.json"
EXPORT_API_APP = "conformance"
OTHER_CLIENT = CLIENT.replace("0c", "0d")
DESCRIPTION = 'Überblick \u2028 \U0001f4c8 "quoted" <b>&amp;</b> \\ \t' + "long " * 1500
OPERATIONS = {
    "createActivitiesTask": "Activity",
    "createCrashesTask": "Crash",
    "createErrorsTask": "Error",
    "createEventsTask": "Event",
    "createJobsTask": "Job",
    "createSessionsTask": "Session",
    "createTagsTask": "Tag",
    "createTokensTask": "Token",
    "createFeedbackTaskByDateRange": "Push",
    "createFeedbackTaskByCampaign": "Push",
}


@pytest.fixture(scope="module")
def driven(export_api) -> dict:
    """What the official client made of every operation, beside a Device task, a type it does not know."""
    if shutil.which("node") is None or not (ROOT / "node_modules" / "azure-arm-mobileengagement").exists():
        pytest.skip("the official client is not installed (node_modules is absent or old): run `make setup`")
    registry = TaskRegistry(export_api.storage)
    device = registry.add(EXPORT_API_APP, "Device", EVERYTHING, export_api.container_url)
    given = {
        "baseUri": export_api.base,
        "subscription": "00000000-0000-0000-0000-000000000000",
        "group": "group",
        "collection": "apps",
        "app": EXPORT_API_APP,
        "token": export_api.tenant.token("1.0"),
        "otherToken": export_api.tenant.token(azp=OTHER_CLIENT),
        "containerUrl": export_api.container_url,
        "description": DESCRIPTION,
        "orders": [f"{field} {way}" for field in ORDER_FIELDS for way in ("asc", "desc")],
    }
    done = subprocess.run(
        ["node", str(CLIENT_SCRIPT)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "device": device.id}


@pytest.mark.node
def test_given_the_official_client_when_creating_then_202_with_location(export_api, driven) -> None:
    assert set(driven["created"]) == set(OPERATIONS)
    for operation, answer in driven["created"].items():
        assert answer.get("statusCode") == 202, answer
        task = answer["result"]
        assert task["exportType"] == OPERATIONS[operation]
        assert task["state"] == "Queued"
        assert task["description"] == DESCRIPTION
        assert "dateCompleted" not in task
        location = answer["headers"]["location"]
        assert location.startswith(export_api.base)
        assert location.endswith(f"/exportTasks/{task['id']}?api-version=2014-12-01")
        assert "sig=" not in json.dumps(answer)


@pytest.mark.node
def test_given_the_official_client_when_tasks_end_then_files_fit_schema(
    export_api, driven, export_files_schema
) -> None:
    for answer in driven["ended"].values():
        task = answer["result"]
        name = f"{task['exportType']}-{task['id']}.json"
        assert datetime.fromisoformat(task["dateCreated"]) <= datetime.fromisoformat(task["dateCompleted"])
        assert task["state"] == "Succeeded", task
        assert "errorDetails" not in task
        text = export_api.storage.blobs.get_blob_client(export_api.landing, name).download_blob().readall()
        exported = json.loads(text)
        assert exported
        wanted = {**export_files_schema, "$ref": f"#/$defs/{task['exportType'].lower()}Export"}
        Draft202012Validator(wanted).validate(exported)


@pytest.mark.node
def test_given_the_official_client_when_it_lists_then_every_page_in_order(driven) -> None:
    made = {answer["result"]["id"] for answer in driven["created"].values()} | {driven["device"]}
    for orderby, pages in driven["pages"].items():
        tasks = [task for page in pages for task in page["result"]]
        assert all(len(page["result"]) == 4 for page in pages[:-1])
        assert [bool(page.get("nextLink")) for page in pages] == [True] * (len(pages) - 1) + [False]
        assert {task["id"] for task in tasks} >= made
        assert len({task["id"] for task in tasks}) == len(tasks)
        field, way = orderby.split()
        key = {"taskId": "id", "taskStatus": "state"}.get(field, field)
        values = [task.get(key, "") for task in tasks]
        assert values == sorted(values, reverse=way == "desc"), orderby


@pytest.mark.node
@pytest.mark.parametrize(
    ("name", "status", "code", "says"),
    [
        ("notFound", 404, "NotFound", "none"),
        ("noSuchApp", 403, "AuthorizationFailed", "nobody"),
        ("wrongOrder", 400, "BadRequest", "$orderby"),
        ("wrongUrl", 400, "InvalidContainerUrl", "containerUrl"),
        ("reversed", 400, "BadRequest", "startDate"),
        ("everythingWrong", 400, "BadRequest", "campaignWindowStart"),
        ("wrongVersion", 400, "InvalidApiVersionParameter", "api-version"),
        ("noToken", 401, "AuthenticationFailed", "access token of Entra"),
        ("badToken", 401, "AuthenticationFailed", "token"),
        ("otherCaller", 403, "AuthorizationFailed", OTHER_CLIENT),
    ],
)
def test_given_the_official_client_when_it_errs_then_the_contracts_error(
    driven, name: str, status: int, code: str, says: str
) -> None:
    error = driven["errors"][name]["error"]
    assert (error["statusCode"], error["code"]) == (status, code)
    assert says in error["message"]
    assert "SECRET" not in json.dumps(error)
    assert ("www-authenticate" in error["headers"]) == (status == 401)


def test_given_a_device_and_a_csv_task_when_posted_then_their_files(export_api, export_files_schema) -> None:
    path = export_api.base + BASE_PATH.format(
        subscriptionId="s", resourceGroup="r", appCollection="a", app=EXPORT_API_APP
    )
    headers = {"Authorization": f"Bearer {export_api.tenant.token()}"}
    texts = []
    for route, output in (("devices", "JsonBlob"), ("DEVICES", "CsvBlob")):
        body = {"ContainerUrl": export_api.container_url, "exportformat": output, "unknown": 1}
        created = requests.post(
            f"{path}/{route}?API-VERSION=2014-12-01&secret=CANARY", json=body, headers=headers
        )
        assert created.status_code == 202, created.text
        assert "CANARY" not in str(created.headers)
        task = created.json()
        deadline = time.monotonic() + 60
        while task["state"] not in ("Succeeded", "Failed"):
            assert time.monotonic() < deadline, task
            time.sleep(0.2)
            task = requests.get(created.headers["Location"], headers=headers, timeout=30).json()
        assert task["state"] == "Succeeded", task
        name = f"Device-{task['id']}.{'csv' if output == 'CsvBlob' else 'json'}"
        texts.append(
            export_api.storage.blobs.get_blob_client(export_api.landing, name).download_blob().readall()
        )
    wanted = {**export_files_schema, "$ref": "#/$defs/deviceExport"}
    Draft202012Validator(wanted).validate(json.loads(texts[0]))
    assert texts[1].startswith(b"deviceId,")


def test_given_unknown_routes_then_404_in_json_and_our_body_on_ours(
    export_api,
) -> None:
    tasks = BASE_PATH.format(subscriptionId="s", resourceGroup="r", appCollection="a", app=EXPORT_API_APP)
    headers = {"Authorization": f"Bearer {export_api.tenant.token()}"}
    for path in ("/nothing", f"{tasks}/events/more", tasks.replace("exportTasks", "importTasks")):
        answer = requests.get(f"{export_api.base}{path}?api-version=2014-12-01", headers=headers, timeout=30)
        assert (answer.status_code, answer.json()["status"]) == (404, 404)
    answer = requests.post(
        f"{export_api.base}{tasks}/faxes?api-version=2014-12-01", json={}, headers=headers, timeout=30
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NotFound")
    assert "events" in answer.json()["error"]["message"]


@pytest.mark.skipif(not CONTRACT_SCHEMA.exists(), reason="needs ../shared/contract beside the checkout")
def test_given_the_contracts_schema_when_compared_then_ours_is_a_copy(export_files_schema) -> None:
    assert json.loads(CONTRACT_SCHEMA.read_text("utf-8")) == export_files_schema


def _satisfiable(container_url: str, task_id: str) -> dict:
    """The description, narrowed to what JSON Schema cannot say: this app, a container, dates in order.

    Of the routes that take one kind of body one is left: they are one function.
    """
    document = describe()
    document["servers"] = []
    routes = ("", "/{taskId}", "/events", "/devices", "/feedbackByDate", "/feedbackByCampaign")
    document["paths"] = {path: document["paths"][path] for path in (BASE_PATH + route for route in routes)}
    for item in document["paths"].values():
        for parameter in item["parameters"]:
            known = {"app": EXPORT_API_APP, "taskId": task_id}.get(parameter["name"])
            if known:
                parameter["schema"] = {"enum": [known]}
    narrow = {
        "containerUrl": container_url,
        "startDate": "2025-03-23",
        "endDate": "2025-03-24",
        "campaignWindowStart": "2025-03-23T00:00:00Z",
        "campaignWindowEnd": "2025-03-24T00:00:00Z",
    }
    for schema in document["components"]["schemas"].values():
        for name, value in narrow.items():
            if name in schema.get("properties", {}):
                schema["properties"][name] = {"enum": [value]}
    return document


# Switched off, each for what the host decides and not this app.
EXCLUDED = {
    "unsupported_method": "the host answers 404, not 405 with Allow, to a method that no function has",
}


@pytest.mark.long
def test_given_the_openapi_description_then_schemathesis_agrees(export_api, tmp_path: Path) -> None:
    task = TaskRegistry(export_api.storage).add(EXPORT_API_APP, "Tag", EVERYTHING, export_api.container_url)
    described = _satisfiable(export_api.container_url, task.id)
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(described))
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        *("run", str(document), "--url", export_api.base, "--no-color"),
        *("--header", f"Authorization: Bearer {export_api.tenant.token()}"),
        *("--checks", "all", "--exclude-checks", ",".join(EXCLUDED)),
        *("--phases", "coverage,fuzzing", "--max-examples", "8", "--generation-deterministic"),
        *("--workers", "1", "--request-timeout", "30"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"Tested: {len(described['paths'])}" in done.stdout, done.stdout


def test_openapi_description_has_every_declared_route(capsys) -> None:
    assert cli.main(["openapi"]) == 0
    described = json.loads(capsys.readouterr().out)["paths"]
    paths = [path for path in described if path.startswith(BASE_PATH)]
    for name in ("", "/{taskId}", "/activities", "/devices", "/feedbackByDate", "/feedbackByCampaign"):
        assert BASE_PATH + name in paths
    assert len(paths) == 13
