"""The app on devhost over real HTTP: what a caller sees, also when something is wrong."""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from running_app import TASKS

from localdev.app import App
from localdev.processes import free_ports
from mobexport.settings import read_settings
from mobexport.storage import PARQUET, DataStorage

EVENT = b'{"deviceId":"d1","name":"open","timestamp":"2025-03-23T10:00:00Z"}\n'
ONE_DAY = {"exportType": "Event", "startDate": "2025-03-23", "endDate": "2025-03-23"}


@pytest.fixture(scope="module")
def running(azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    settings = read_settings(
        {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    )
    raw = DataStorage(settings).container("raw")
    for app in ("shop", "slow", "restarted", "listed", "batched", "crowd", "rerun"):
        raw.upload_blob(f"{app}/events/2025-03-23/a.ndjson", EVENT, overwrite=True)
    state: Path = tmp_path_factory.mktemp("app")
    quick = {"POLL_FIRST_SECONDS": "0.5", "POLL_MAX_SECONDS": "1", "EXPORTS_CONFIG": os.devnull}
    with App(azurite, state, free_ports(1)[0], host="devhost", **quick) as app:
        yield app


def wait(app: App, export_id: str) -> dict:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        status, export = app.get(f"/api/exports/{export_id}")
        assert status == 200
        if export["phase"] == "done":
            return export
        time.sleep(0.2)
    raise AssertionError(f"still {export['state']} after 40 s: {app.log.read_text()[-2000:]}")


def test_given_a_request_when_made_then_an_export_and_the_same_one_again(running) -> None:
    status, first = running.post("/api/exports", {**ONE_DAY, "app": "shop"})
    assert (status, first["state"]) == (202, "Requested")
    done = wait(running, first["id"])
    assert (done["state"], done["counts"]["rows"]) == ("Succeeded", 1)
    status, again = running.post("/api/exports", {**ONE_DAY, "app": "shop"})
    assert (status, again["id"], again["state"]) == (200, first["id"], "Succeeded")
    status, problem = running.post(f"/api/exports/{first['id']}/cancel", {})
    assert (status, problem["title"]) == (409, "TooLate")


def test_given_fifty_identical_requests_then_one_export_and_one_job(running, azurite) -> None:
    body = {**ONE_DAY, "app": "crowd"}
    with ThreadPoolExecutor(25) as pool:
        answers = list(
            pool.map(lambda _: requests.post(f"{running.url}/api/exports", json=body, timeout=60), range(50))
        )
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [202]
    (export,) = {answer.json()["id"] for answer in answers}
    assert wait(running, export)["attempt"] == 1
    _, tasks = running.get(f"{TASKS.format(app='crowd')}?api-version=2014-12-01")
    assert len(tasks["value"]) == 1
    instances = running.get("/runtime/webhooks/durabletask/instances?top=1000")[1]
    mine = [one["instanceId"] for one in instances if export in one["instanceId"]]
    assert sorted(mine) == [f"{kind}-{export}-1" for kind in ("process", "run")]


def test_given_a_succeeded_export_when_rerun_then_it_is_replaced(running) -> None:
    body = {**ONE_DAY, "app": "rerun"}
    _, first = running.post("/api/exports", body)
    status, problem = running.post("/api/exports", {**body, "rerun": True})
    if status == 409:  # else it had ended before
        assert problem["title"] == "StillRunning"
        wait(running, first["id"])
        status, again = running.post("/api/exports", {**body, "rerun": True})
        assert (status, again["id"], again["attempt"]) == (202, first["id"], 2)
    done = wait(running, first["id"])
    assert (done["state"], done["attempt"], done["manifest"][-7:]) == ("Succeeded", 2, "-2.json")


def test_raw_rejects_are_told_by_every_end_of_the_pipeline(running, azurite) -> None:
    # Of three raw lines one is no JSON: the Export API rejects it, and the pipeline says so.
    settings = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    storage = DataStorage(read_settings(settings))
    lines = EVENT + EVENT + b"{nonsense\n"
    storage.container("raw").upload_blob("counted/events/2025-03-23/a.ndjson", lines, overwrite=True)
    _, first = running.post("/api/exports", {**ONE_DAY, "app": "counted"})
    done = wait(running, first["id"])
    raw = done["counts"]["raw"]
    assert (raw["read"], raw["rejected"], raw["exported"], raw["rules"]) == (3, 1, 2, {"not-json": 1})
    assert done["counts"]["balances"] is True
    container, _, path = raw["rejects"].partition("/")
    reject = json.loads(storage.container(container).download_blob(path).readall())
    assert reject["line"] == 3
    manifest = storage.read_json("curated", done["manifest"])
    assert manifest["counts"]["raw"] == raw
    log = running.log.read_text("utf-8")
    (rate,) = [line for line in log.splitlines() if "reject rate:" in line and '"counted"' in line]
    assert '"rejected": 1, "records": 3' in rate


MEDIA = {".json": "application/json", ".ndjson": "application/x-ndjson", ".parquet": PARQUET}


def test_every_blob_of_an_export_says_what_it_is_of(running, azurite) -> None:
    settings = {"DATA_STORAGE": azurite.connection_string, "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    storage = DataStorage(read_settings(settings))
    lines = EVENT + b"{nonsense\n"
    storage.container("raw").upload_blob("labelled/events/2025-03-23/a.ndjson", lines, overwrite=True)
    _, first = running.post("/api/exports", {**ONE_DAY, "app": "labelled"})
    done = wait(running, first["id"])
    about = {"app": "labelled", "type": "Event"}
    of_export = {**about, "export": done["id"], "attempt": "1"}
    found = set()
    for container in ("exports", "curated", "rejects"):
        for blob in storage.container(container).list_blobs(include=["metadata"]):
            if "labelled/" not in blob.name or "/_delta_log/" in blob.name or not blob.size:
                continue
            ending = Path(blob.name).suffix
            found.add((container, ending))
            assert blob.content_settings.content_type == MEDIA[ending], blob.name
            day = {"day": "2025-03-23"} if ending == ".parquet" else {}
            task = {**about, "task": done["jobId"]}
            assert blob.metadata == (task if container == "rejects" else {**of_export, **day}), blob.name
    assert found == {
        ("exports", ".json"),
        ("curated", ".json"),
        ("curated", ".parquet"),
        ("rejects", ".ndjson"),
    }


def test_given_days_without_data_when_exported_then_empty_is_a_success(running) -> None:
    days = {"startDate": "2024-01-01", "endDate": "2024-01-02"}
    _, first = running.post("/api/exports", {**ONE_DAY, **days, "app": "shop"})
    done = wait(running, first["id"])
    assert (done["state"], done["empty"]) == ("Empty", "there is no raw file for those days")
    assert done["manifest"]


def test_given_a_wrong_body_then_400_naming_all_problems_nothing_started(running) -> None:
    status, problem = running.post("/api/exports", {"exportType": "Fax", "app": "nobody?", "extra": 1})
    assert status == 400
    assert {item["field"] for item in problem["problems"]} == {"exportType", "app", "extra"}
    answer = requests.post(f"{running.url}/api/exports", data=b"{not json", timeout=10)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("application/problem+json")


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("DELETE", "/api/exports/x", 405, "GET"),
        ("PUT", "/api/exports", 405, "GET, POST"),
        ("GET", "/api/batches", 405, "POST"),
        ("POST", "/api/schedules", 405, "GET"),
        ("GET", "/api/nothing/here", 404, None),
        ("GET", "/api/exports/x/y/z", 404, None),
    ],
)
def test_a_wrong_method_or_path_is_answered_in_json(running, method, path, status, allowed) -> None:
    answer = requests.request(method, running.url + path, timeout=10)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers.get("Allow") == allowed


def test_schedules_are_listed(running) -> None:
    assert running.get("/api/schedules") == (200, {"schedules": []})


def test_given_an_unknown_export_when_asked_for_then_404(running) -> None:
    assert running.get("/api/exports/none")[0] == 404
    assert running.post("/api/exports/none/cancel", {})[0] == 404


ODD = ("a%2Fb", "a%5Cb", "a%23b", "a%3Fb", "%25", "a%20b", "%C3%A9", "'", "a%27b", "%00", "%7F", "x" * 2000)


@pytest.mark.parametrize("odd", ODD)
def test_given_an_id_that_is_none_when_asked_for_then_404_never_a_failure(running, odd: str) -> None:
    for path in ("exports", "batches"):
        assert running.get(f"/api/{path}/{odd}")[0] == 404
    assert running.post(f"/api/exports/{odd}/cancel", {})[0] == 404
    tasks = TASKS.format(app="shop")
    assert running.get(f"{tasks}/{odd}?api-version=2014-12-01")[0] == 404
    assert running.get(f"{TASKS.format(app=odd)}?api-version=2014-12-01")[0] == 404


def test_given_the_app_indexed_by_the_host_then_no_function_fails(running) -> None:
    # A schedule, path or connection that is wrong takes its function away, and only this says so.
    functions = [one["name"] for one in running.get("/admin/functions")[1]]
    assert len(functions) > 30
    for name in functions:
        assert running.get(f"/admin/functions/{name}/status") == (200, {}), name


def test_given_a_cancel_in_time_then_cancelled_and_next_is_a_new_attempt(running) -> None:
    _, first = running.post("/api/exports", {**ONE_DAY, "app": "slow"})
    status, _ = running.post(f"/api/exports/{first['id']}/cancel", {})
    ended = wait(running, first["id"])
    # 409 would mean that it was collected before the cancel came.
    assert (status, ended["state"]) in ((202, "Cancelled"), (409, "Succeeded"))
    if status == 202:
        status, again = running.post("/api/exports", {**ONE_DAY, "app": "slow"})
        assert (status, again["attempt"]) == (202, 2)
        assert wait(running, first["id"])["state"] == "Succeeded"


def test_given_exports_when_listed_then_filtered_and_page_by_page(running) -> None:
    for day in ("2024-02-01", "2024-02-02", "2024-02-03"):
        days = {"startDate": day, "endDate": day}
        running.post("/api/exports", {"exportType": "Event", "app": "listed", **days})
    _, tagged = running.post("/api/exports", {"exportType": "Tag", "app": "listed"})
    status, page = running.get("/api/exports?app=listed&exportType=event&limit=2")
    assert (status, len(page["exports"])) == (200, 2)
    assert "continuation" in page["links"]["next"]
    _, rest = running.get(page["links"]["next"].removeprefix(running.url))
    assert (len(rest["exports"]), rest["links"]) == (1, {})
    created = [export["createdAt"] for export in (*page["exports"], *rest["exports"])]
    assert created == sorted(created, reverse=True)
    wait(running, tagged["id"])
    query = "app=listed&state=Empty,Succeeded&exportType=Tag&createdFrom=2024-01-01"
    _, found = running.get(f"/api/exports?{query}")
    assert [export["id"] for export in found["exports"]] == [tagged["id"]]
    assert running.get("/api/exports?app=listed&createdTo=2024-01-01")[1]["exports"] == []
    status, problem = running.get("/api/exports?state=Lost&limit=0&continuation=x&createdFrom=soon&color=red")
    assert status == 400
    fields = {item["field"] for item in problem["problems"]}
    assert fields == {"state", "limit", "continuation", "createdFrom", "color"}


def test_given_a_batch_then_every_export_ends_and_a_repeat_is_the_same(running) -> None:
    days = {"startDate": "2025-03-23", "endDate": "2025-03-24", "app": "batched", "parallel": 2}
    status, batch = running.post("/api/batches", {**days, "exportTypes": ["Event", "Activity"]})
    assert (status, len(batch["exports"])) == (202, 4)
    deadline = time.monotonic() + 60
    while batch["state"] == "Running" and time.monotonic() < deadline:
        time.sleep(0.5)
        _, batch = running.get(f"/api/batches/{batch['id']}")
    assert (batch["state"], batch["counts"]) == ("Succeeded", {"Empty": 3, "Succeeded": 1})
    status, again = running.post("/api/batches", {**days, "exportTypes": ["Event", "Activity"]})
    assert (status, again["id"]) == (200, batch["id"])
    assert running.get("/api/batches/none")[0] == 404
    assert running.post("/api/batches", {"exportTypes": ["Fax"]})[0] == 400


def test_given_a_users_container_then_delivered_there_and_not_processed(running, azurite) -> None:
    storage = DataStorage(read_settings({"DATA_STORAGE": azurite.connection_string}))
    storage.container("theirs")
    url = storage.container_write_url("theirs", timedelta(hours=1))
    status, export = running.post("/api/exports", {**ONE_DAY, "app": "shop", "containerUrl": url})
    assert status == 202
    assert "sig=" not in str(export)
    done = wait(running, export["id"])
    assert (done["state"], done["manifest"], done["files"]) == ("Delivered", None, None)
    assert done["destination"].endswith("/theirs")
    (blob,) = storage.list_blobs("theirs")
    assert blob.name.startswith("Event-")
    assert list(storage.list_blobs("exports", f"shop/Event/{export['id']}/")) == []
    rows = storage.table("secrets").query_entities("PartitionKey eq '~destinations'")
    assert list(rows) == []


def test_given_health_when_all_is_well_then_every_part_is_named(running) -> None:
    status, health = running.get("/api/health")
    assert status == 200
    assert health["checks"] == dict.fromkeys(
        ("indexing", "settings", "configuration", "secrets", "storage", "exportApi", "telemetry"), "ok"
    )


def test_given_a_kill_in_mid_run_when_restarted_then_the_export_ends(running) -> None:
    _, first = running.post("/api/exports", {**ONE_DAY, "app": "restarted"})
    running.kill()
    running.restart()
    assert wait(running, first["id"])["state"] == "Succeeded"


def test_given_the_contract_when_spoken_badly_then_its_error_shape(running) -> None:
    tasks = TASKS.format(app="shop")
    status, error = running.get(tasks)
    assert (status, error["error"]["code"]) == (400, "InvalidApiVersionParameter")
    status, error = running.get(f"{tasks}?api-version=2014-12-01&$top=41")
    assert (status, "$top" in error["error"]["message"]) == (400, True)
    status, error = running.get(f"{tasks}/none?api-version=2014-12-01")
    assert (status, error["error"]["code"]) == (404, "NotFound")
    status, error = running.post(f"{tasks}/events?api-version=2014-12-01", {"containerUrl": "x?sig=SECRET"})
    assert status == 400
    assert "SECRET" not in str(error)


def test_given_an_export_when_the_log_is_read_then_no_signature_is_in_it(running) -> None:
    days = {"startDate": "2025-03-22", "endDate": "2025-03-24"}
    _, first = running.post("/api/exports", {**ONE_DAY, **days, "app": "shop"})
    wait(running, first["id"])
    log = running.log.read_text()
    assert "Functions.plan_export_task" in log
    assert "sig=" not in log
    assert "AccountKey=" not in log
