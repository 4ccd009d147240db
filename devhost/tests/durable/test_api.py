"""The management API: codes, headers and bodies as recorded from the real host."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import azure.durable_functions as df
import pytest

from devhost.durable.api import ApiResponse, DurableApi
from devhost.durable.client_binding import client_binding_json
from devhost.durable.engine import Engine
from devhost.durable.history import Kind
from devhost.durable.store import Store

ORIGIN = "http://127.0.0.1:7071"
JSON = {"Content-Type": "application/json"}


def approval(context):
    return (yield context.wait_for_external_event("go"))


def fails(context):
    yield context.task_all([])
    raise RuntimeError("boom")


class Rig:
    def __init__(self) -> None:
        created = {f.__name__: df.Orchestrator.create(f) for f in (approval, fails)}
        self.engine = Engine(Store(":memory:"), created, [])
        self.api = DurableApi(self.engine, "probe")

    def call(self, method: str, path: str, body: str = "", headers: Any = None, **query: str) -> ApiResponse:
        answer = self.api.handle(method, path, query, headers or {}, body.encode(), ORIGIN)
        for instance_id in self.engine.store.waiting_instances():
            self.engine.run_episode(instance_id)
        return answer

    def start(self, instance_id: str, name: str = "approval") -> ApiResponse:
        return self.call("POST", f"orchestrators/{name}/{instance_id}")


@pytest.fixture
def rig() -> Rig:
    return Rig()


def body(answer: ApiResponse) -> Any:
    return json.loads(answer.body)


def test_given_a_start_when_accepted_then_the_payload_is_as_recorded(rig: Rig) -> None:
    answer = rig.call("POST", "orchestrators/approval/a b", '{"k": 1}')
    base = f"{ORIGIN}/runtime/webhooks/durabletask/instances/a+b"
    assert answer.status == 202
    assert answer.headers["Retry-After"] == "10"
    assert answer.headers["Location"] == body(answer)["statusQueryGetUri"]
    assert list(body(answer)) == [
        "id",
        "statusQueryGetUri",
        "sendEventPostUri",
        "terminatePostUri",
        "purgeHistoryDeleteUri",
        "restartPostUri",
        "suspendPostUri",
        "resumePostUri",
    ]
    assert body(answer)["statusQueryGetUri"].startswith(f"{base}?taskHub=probe&connection=Storage")


def test_given_a_running_id_when_started_again_then_409(rig: Rig) -> None:
    rig.start("x")
    answer = rig.start("x")
    assert answer.status == 409
    assert body(answer) == {"Message": "An Orchestration instance with the status Running already exists."}


def test_given_an_unknown_orchestrator_when_started_then_202_and_it_fails(rig: Rig) -> None:
    assert rig.start("x", "nope").status == 202
    shown = body(rig.call("GET", "instances/x"))
    assert shown["runtimeStatus"] == "Failed"
    assert shown["output"].startswith(
        "Orchestrator function 'nope' failed: The function 'nope' doesn't exist,"
    )


def test_given_bad_json_when_started_then_400(rig: Rig) -> None:
    answer = rig.call("POST", "orchestrators/approval/x", "{bad")
    assert (answer.status, body(answer)["Message"]) == (400, "Invalid JSON content")


def test_given_a_timeout_when_the_instance_ends_in_time_then_its_status(rig: Rig) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(rig.call, "POST", "orchestrators/fails/x", timeout="5", pollingInterval="1")
        while not waiting.done():
            for instance_id in rig.engine.store.waiting_instances():
                rig.engine.run_episode(instance_id)
            time.sleep(0.01)
    answer = waiting.result()
    assert (answer.status, body(answer)["runtimeStatus"]) == (200, "Failed")


def test_given_a_timeout_when_it_passes_then_the_start_payload_answers(rig: Rig) -> None:
    answer = rig.call("POST", "orchestrators/approval/y", timeout="0.1", pollingInterval="0.1")
    assert (answer.status, body(answer)["id"]) == (202, "y")


def test_given_a_timeout_alone_or_too_short_then_nothing_waits(rig: Rig) -> None:
    began = time.monotonic()
    assert rig.call("POST", "orchestrators/approval/a", timeout="30").status == 202
    refused = rig.call("POST", "orchestrators/approval/b", timeout="1", pollingInterval="5")
    assert time.monotonic() - began < 20
    assert (refused.status, body(refused)["ExceptionMessage"]) == (
        400,
        "Total timeout 1 should be bigger than retry timeout 5",
    )
    assert rig.call("GET", "instances/b").status == 202


def test_given_an_event_with_several_faults_then_instance_comes_first(rig: Rig) -> None:
    text = {"Content-Type": "text/plain"}
    assert rig.call("POST", "instances/x/raiseEvent/go", "{bad", text).status == 404
    rig.start("x", "fails")
    assert rig.call("POST", "instances/x/raiseEvent/go", "{bad", text).status == 410
    rig.start("y")
    near = {"Content-Type": "application/json-patch+json"}
    assert rig.call("POST", "instances/y/raiseEvent/go", "1", near).status == 400
    exact = {"Content-Type": "APPLICATION/JSON; charset=utf-8"}
    assert rig.call("POST", "instances/y/raiseEvent/go", "1", exact).status == 202


def test_given_a_running_instance_when_asked_then_202_with_its_own_address(rig: Rig) -> None:
    rig.start("x")
    answer = rig.call("GET", "instances/x", showHistory="true", taskHub="probe", code="k")
    assert answer.status == 202
    assert answer.headers["Retry-After"] == "5"
    assert answer.headers["Location"] == (
        f"{ORIGIN}/runtime/webhooks/durabletask/instances/x?showHistory=true"
    )
    assert [event["EventType"] for event in body(answer)["historyEvents"]] == ["ExecutionStarted"]


def test_given_an_event_when_raised_then_codes_are_as_recorded(rig: Rig) -> None:
    assert rig.call("POST", "instances/x/raiseEvent/go", "{}", JSON).status == 404
    rig.start("x")
    refused = rig.call("POST", "instances/x/raiseEvent/go", "{}")
    assert (refused.status, body(refused)) == (
        400,
        {"Message": "Only application/json request content is supported"},
    )
    assert rig.call("POST", "instances/x/raiseEvent/go", "{", JSON).status == 400
    assert rig.call("POST", "instances/x/raiseEvent", "{}", JSON).status == 404
    assert rig.call("POST", "instances/x/raiseEvent/go", '{"by": "me"}', JSON).status == 202
    raised = next(e for e in rig.engine.store.history("x") if e["EventType"] == Kind.EVENT_RAISED)
    assert raised["Input"] == '{"by":"me"}'
    assert body(rig.call("GET", "instances/x"))["output"] == {"by": "me"}
    assert rig.call("POST", "instances/x/raiseEvent/go", "{}", JSON).status == 410


def test_given_control_calls_when_made_then_codes_are_as_recorded(rig: Rig) -> None:
    assert rig.call("POST", "instances/x/terminate").status == 404
    rig.start("x")
    assert rig.call("POST", "instances/x/resume").status == 500
    assert rig.call("POST", "instances/x/suspend", reason="hold").status == 202
    assert body(rig.call("GET", "instances/x"))["output"] == "hold"
    again = rig.call("POST", "instances/x/suspend")
    assert body(again)["ExceptionMessage"] == (
        "Cannot suspend the orchestration instance x because instance is in the Suspended state."
    )
    assert rig.call("POST", "instances/x/resume", reason="go").status == 202
    assert rig.call("POST", "instances/x/terminate", reason="because").status == 202
    assert body(rig.call("GET", "instances/x"))["output"] == "because"
    assert rig.call("POST", "instances/x/terminate").status == 410


def test_given_a_purge_when_running_then_412_and_when_ended_then_200(rig: Rig) -> None:
    rig.start("x")
    refused = rig.call("DELETE", "instances/x")
    assert refused.status == 412
    assert body(refused).endswith("the orchestration with instance ID x has status Running")
    rig.call("POST", "instances/x/terminate")
    assert rig.call("DELETE", "instances/x").body == b'{"instancesDeleted":1}'
    assert rig.call("DELETE", "instances/x").status == 404


def test_given_a_purge_by_filter_when_called_then_it_is_as_recorded(rig: Rig) -> None:
    refused = rig.call("DELETE", "instances/")
    assert (refused.status, body(refused)) == (400, "Please provide value for 'createdTimeFrom' parameter.")
    since = "2020-01-01T00:00:00Z"
    assert rig.call("DELETE", "instances/", createdTimeFrom=since).status == 404
    rig.start("x")
    rig.start("y", "fails")
    deleted = rig.call("DELETE", "instances/", createdTimeFrom=since, runtimeStatus="Failed,Running")
    assert body(deleted) == {"instancesDeleted": 1}
    # The real host deletes running instances here, and so does this one.
    deleted = rig.call("DELETE", "instances/", createdTimeFrom=since, runtimeStatus="Running")
    assert body(deleted) == {"instancesDeleted": 1}


def test_given_many_instances_when_listed_then_pages_follow_the_token(rig: Rig) -> None:
    for name in "abcde":
        rig.start(name)
    found: list[str] = []
    token = ""
    for _ in range(3):
        answer = rig.call("GET", "instances", "", {"x-ms-continuation-token": token}, top="2")
        found += [instance["instanceId"] for instance in body(answer)]
        token = answer.headers["x-ms-continuation-token"]
    assert (found, token) == (list("abcde"), "")
    assert body(rig.call("GET", "instances", "", {"x-ms-continuation-token": "garbage!"})) == []
    assert len(body(rig.call("GET", "instances/", runtimeStatus="running"))) == 5
    assert body(rig.call("GET", "instances/", runtimeStatus="Completed")) == []


def test_given_a_restart_when_called_then_codes_are_as_recorded(rig: Rig) -> None:
    unknown = rig.call("POST", "instances/x/restart")
    assert unknown.status == 400
    assert body(unknown)["Message"] == "InstanceId does not match a valid orchestration instance."
    rig.start("x")
    taken = rig.call("POST", "instances/x/restart", restartWithNewInstanceId="false")
    assert taken.status == 409
    assert body(taken)["Message"] == "A non-terminal instance with this instance ID already exists."
    again = rig.call("POST", "instances/x/restart")
    assert (again.status, body(again)["id"] == "x") == (202, False)


@pytest.mark.parametrize(
    ("method", "path", "what"),
    [
        ("POST", "instances/x/rewind", "the rewind of instances"),
        ("GET", "entities", "entities"),
        ("GET", "entities/counter/a", "entities"),
        ("POST", "entities/counter/a", "entities"),
        ("DELETE", "entities/counter/a", "entities"),
    ],
)
def test_given_what_devhost_does_not_run_when_called_then_501_says_so(
    rig: Rig, method: str, path: str, what: str
) -> None:
    answer = rig.call(method, path)
    assert answer.status == 501
    assert body(answer)["Message"] == f"devhost does not run {what}: {method} {path}"


def test_given_another_task_hub_then_it_is_there_and_nothing_runs_in_it(rig: Rig) -> None:
    other = DurableApi(Engine(Store(":memory:"), {}, []), "other")
    rig.api = DurableApi(rig.engine, "probe", lambda _: other)
    assert rig.call("GET", "instances/h", taskHub="other").status == 404
    started = rig.call("POST", "orchestrators/approval/h", taskHub="other")
    assert "taskHub=other" in body(started)["statusQueryGetUri"]
    assert body(rig.call("GET", "instances/h", taskHub="other"))["runtimeStatus"] == "Pending"
    assert rig.call("GET", "instances/h").status == 404
    assert rig.call("GET", "instances/h", taskHub="../other").status == 404


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{bad", "Unexpected end while parsing unquoted property name. Path '', line 1, position 4."),
        ("plain", "Unexpected character encountered while parsing value: p. Path '', line 0, position 0."),
    ],
)
def test_given_no_json_when_started_then_the_text_is_newtonsofts(rig: Rig, text: str, message: str) -> None:
    assert body(rig.call("POST", "orchestrators/approval/x", text))["ExceptionMessage"] == message


def test_given_a_negative_page_when_listed_then_storage_refuses_it(rig: Rig) -> None:
    assert rig.call("GET", "instances", top="-1").status == 500
    assert rig.call("GET", "//instances").status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("HEAD", "instances/x"), ("GET", "orchestrators/approval"), ("GET", "nothing"), ("GET", "")],
)
def test_given_no_route_when_called_then_404_without_body(rig: Rig, method: str, path: str) -> None:
    rig.start("x")
    answer = rig.call(method, path)
    assert (answer.status, answer.body) == (404, b"")


def test_given_a_slash_in_the_id_or_another_hub_when_called_then_404(rig: Rig) -> None:
    assert rig.call("POST", "orchestrators/approval/a%2Fb").status == 404
    rig.start("x")
    assert rig.call("GET", "INSTANCES/x/", taskHub="other").status == 404
    assert rig.call("GET", "INSTANCES/x/").status == 202
    assert rig.call("GET", "instances/x", connection="Nope").status == 500


def test_given_a_client_binding_when_made_then_the_sdk_reads_it() -> None:
    text = client_binding_json("probe", "http://localhost:7071", "http://127.0.0.1:17071/durabletask/")
    client = df.DurableOrchestrationClient(text)
    made = json.loads(text)
    assert client.create_http_management_payload("x")["id"] == "x"
    assert list(made["managementUrls"]) == [
        "id",
        "statusQueryGetUri",
        "sendEventPostUri",
        "terminatePostUri",
        "rewindPostUri",
        "purgeHistoryDeleteUri",
        "restartPostUri",
        "suspendPostUri",
        "resumePostUri",
    ]
