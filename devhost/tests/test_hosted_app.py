"""One running host with every kind of trigger and binding, on the emulator, over real HTTP."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError

from devhost.azurite import Azurite
from devhost.bindings.queues import Encoding
from devhost.storage import Storage

APP = """
from __future__ import annotations
import json, logging, os, threading
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="DATA")
@app.queue_output(arg_name="out", queue_name="answers", connection="DATA")
def on_queue(msg: func.QueueMessage, out: func.Out[str], context: func.Context) -> None:
    if msg.get_body() == b"bad":
        raise ValueError("told")
    out.set(json.dumps([msg.get_body().decode(), str(msg.dequeue_count), context.function_name]))

@app.queue_trigger(arg_name="text", queue_name="plain", connection="DATA")
@app.queue_output(arg_name="$return", queue_name="answers", connection="DATA")
def on_plain(text: str) -> str:
    return f"plain {text!r}"

@app.blob_trigger(arg_name="blob", path="inbox/{day}/{name}.{ext}", connection="DATA")
@app.blob_input(arg_name="beside", path="side/{name}.txt", connection="DATA", data_type="BINARY")
@app.blob_input(arg_name="missing", path="side/none", connection="DATA")
@app.blob_output(arg_name="copy", path="outbox/{day}/{name}-{ext}", connection="DATA")
async def on_blob(blob: func.InputStream, beside: bytes, missing, copy: func.Out[bytes]) -> None:
    logging.info("blob %s %s %s", blob.name, blob.length, missing)
    copy.set(blob.read() + (beside or b"-"))

@app.event_grid_trigger(arg_name="event")
@app.queue_output(arg_name="out", queue_name="answers", connection="DATA")
def on_event(event: func.EventGridEvent, out: func.Out[func.QueueMessage]) -> None:
    if event.get_json().get("fail"):
        raise ValueError("told")
    out.set(func.QueueMessage(id="7", body=event.subject))

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
@app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:00:00.05")
def on_timer(timer: func.TimerRequest, context: func.Context) -> None:
    retry = context.retry_context
    logging.info("timer attempt %s of %s", retry.retry_count, retry.max_retry_count)
    if retry.retry_count < 2:
        raise ValueError("not yet")

@app.route(route="put/{name}", methods=["POST"])
@app.blob_output(arg_name="kept", path="outbox/put/{name}-{kind}-{Query.q}", connection="DATA")
def put(req: func.HttpRequest, kept: func.Out[str]) -> func.HttpResponse:
    kept.set(req.get_body().decode())
    return func.HttpResponse(status_code=201)

@app.route(route="get/{name}")
@app.blob_input(arg_name="found", path="outbox/put/{name}", connection="DATA")
async def get(req: func.HttpRequest, found: str) -> str:
    return str(found)

@app.route(route="say")
def say(req: func.HttpRequest) -> str:
    print("printed", end=" ")
    print("in one line")
    logging.getLogger("my.logger").warning("logged")
    logging.debug("not at this level")
    return threading.current_thread().name

@app.route(route="%ROUTE%/{n}")
def routed(req: func.HttpRequest) -> str:
    return req.route_params["n"]

@app.route(route="%NOWHERE%")
def bad_route(req: func.HttpRequest) -> str:
    return ""

@app.route(route="none")
def none(req: func.HttpRequest):
    return None

@app.route(route="number")
def number(req: func.HttpRequest):
    return 5

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
def gives(timer: func.TimerRequest) -> int:
    return 5

@app.route(route="off")
def off(req: func.HttpRequest) -> str:
    return "no"

@app.cosmos_db_trigger(arg_name="docs", connection="C", database_name="d", container_name="c")
def on_cosmos(docs: str) -> None: ...

@app.route(route="table")
@app.table_output(arg_name="row", connection="DATA", table_name="t")
def to_table(req: func.HttpRequest, row: func.Out[str]) -> str:
    return "no"

@app.timer_trigger(arg_name="timer", schedule="%NOWHERE%")
def no_setting(timer: func.TimerRequest) -> None: ...

@app.blob_trigger(arg_name="blob", path="{c}/x", connection="DATA")
def bad_path(blob: func.InputStream) -> None: ...

@app.blob_trigger(arg_name="blob", path="inbox/x", connection="NOWHERE")
def no_connection(blob: func.InputStream) -> None: ...

@app.queue_trigger(arg_name="msg", queue_name="Bad_Name", connection="DATA")
def bad_queue(msg: func.QueueMessage) -> None: ...

@app.route(route="retried")
@app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:00:01")
def retried(req: func.HttpRequest) -> str:
    return ""

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
@app.retry(strategy="sometimes", max_retry_count="3")
def bad_retry(timer: func.TimerRequest) -> None: ...
"""


@pytest.fixture(scope="module")
def host(azurite: Azurite, host_of: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("app")
    (folder / "function_app.py").write_text(APP)
    storage = Storage({"DATA": azurite.connection_string})
    for name in ("inbox", "side"):
        storage.blobs("DATA").create_container(name)
    storage.queues("DATA").create_queue("orders")
    storage.queues("DATA").create_queue("plain")
    settings = {"QUEUE": "orders", "ROUTE": "from/setting", "AzureWebJobs.off.Disabled": "true"}
    (folder / "local.settings.json").write_text(json.dumps({"Values": settings}))
    host = host_of(folder, "--no-reload", DATA=azurite.connection_string, PYTHON_THREADPOOL_THREAD_COUNT="3")
    host.storage = storage
    return host


@pytest.fixture
def answers(host: Any, eventually: Callable[..., Any]) -> Callable[[int], list[str]]:
    """The next n messages of the queue that functions write to, sorted."""

    def take(count: int) -> list[str]:
        found: list[str] = []

        def enough() -> bool:
            found.extend(_received(host, "answers"))
            return len(found) >= count

        eventually(enough)
        return sorted(found)

    return take


def _received(host: Any, queue: str) -> list[str]:
    """The texts of the messages that are there, which are taken out; none while there is no queue."""
    client = host.storage.queues("DATA").get_queue_client(queue)
    found = []
    with suppress(ResourceNotFoundError):
        for message in client.receive_messages():
            found.append(Encoding().decode(message.content).decode())
            client.delete_message(message)
    return found


def _send(host: Any, queue: str, text: str) -> None:
    host.storage.queues("DATA").get_queue_client(queue).send_message(Encoding().encode(text.encode()))


def _blob(host: Any, path: str) -> Any:
    return host.storage.blobs("DATA").get_blob_client(*path.split("/", 1))


def test_given_a_message_when_sent_then_the_function_answers_into_another_queue(
    host: Any, answers: Callable[[int], list[str]]
) -> None:
    _send(host, "orders", "hello")
    assert answers(3) == ["1", "hello", "on_queue"]  # a JSON array: one message for each element
    _send(host, "plain", "é")
    assert answers(1) == ["plain 'é'"]
    assert (
        "Executing 'Functions.on_queue' (Reason='New queue message detected on 'orders'.', Id=" in host.output
    )
    assert re.search(r"Trigger Details: MessageId: \S+, DequeueCount: 1, InsertedOn: ", host.output)


def test_given_a_message_that_fails_when_sent_then_it_ends_in_the_poison_queue(
    host: Any, eventually: Callable[..., Any]
) -> None:
    _send(host, "orders", "bad")
    assert eventually(lambda: _received(host, "orders-poison")) == ["bad"]
    host.wait_for("Moving message to queue 'orders-poison'")
    assert host.output.count("ValueError: told") >= 5


def test_given_a_blob_when_uploaded_then_inputs_and_outputs_are_named_after_it(
    host: Any, eventually: Callable[..., Any]
) -> None:
    _blob(host, "side/a b%.txt").upload_blob(b"\xff")
    _blob(host, "inbox/é/a b%.json").upload_blob(b"\x00")
    copied = _blob(host, "outbox/é/a b%-json")
    eventually(copied.exists)
    assert copied.download_blob().readall() == b"\x00\xff"
    host.wait_for(r"on_blob: blob inbox/é/a b%\.json 1 None")
    _blob(host, "inbox/1/empty.x").upload_blob(b"")
    eventually(_blob(host, "outbox/1/empty-x").exists)
    host.wait_for(r"on_blob: blob inbox/1/empty\.x None None")


def test_given_events_when_posted_to_the_webhook_then_each_runs_and_a_failure_is_told(
    host: Any, answers: Callable[[int], list[str]]
) -> None:
    path = "/runtime/webhooks/EventGrid?functionName=on_event"
    event = {
        "id": "1",
        "topic": "t",
        "subject": "s1",
        "eventType": "T",
        "dataVersion": "1",
        "eventTime": "2026-11-24T00:00:00Z",
        "data": {},
    }
    status, body = host.call(path, [event, {**event, "subject": "s2"}], aeg_event_type="Notification")
    assert (status, body) == (202, b"")
    assert [json.loads(text) for text in answers(2)] == [{"id": "7", "body": s} for s in ("s1", "s2")]
    failing = {**event, "data": {"fail": True}}
    status, body = host.call(path, failing, aeg_event_type="Notification")
    assert (status, body) == (500, b"Exception while executing function: Functions.on_event")
    code = [{"data": {"validationCode": "X"}}]
    status, body = host.call(path, code, aeg_event_type="SubscriptionValidation")
    assert (status, json.loads(body)) == (200, {"validationResponse": "X"})
    assert (
        host.call("/runtime/webhooks/eventgrid?functionName=put", [], aeg_event_type="Notification")[0] == 404
    )


def test_given_a_blob_event_when_posted_then_the_handshake_and_the_event_are_taken(host: Any) -> None:
    path = "/runtime/webhooks/blobs?functionName=Host.Functions.on_blob"
    code = [{"data": {"validationCode": "X"}}]
    assert host.call(path, code, aeg_event_type="SubscriptionValidation")[0] == 200
    client = _blob(host, "inbox/2/told.x")
    client.upload_blob(b"1")
    data = {"url": client.url, "eTag": client.get_blob_properties().etag.strip('"'), "blobType": "BlockBlob"}
    assert host.call(path, [{"data": data}], aeg_event_type="Notification")[0] == 202
    host.wait_for(r"on_blob: blob inbox/2/told\.x 1 None")


def test_given_the_admin_api_when_functions_are_run_by_hand_then_each_kind_takes_its_input(
    host: Any, answers: Callable[[int], list[str]], eventually: Callable[..., Any]
) -> None:
    before = host.output.count("Executed 'Functions.on_timer' (Succeeded")
    assert host.call("/admin/functions/on_timer", {"input": ""})[0] == 202
    eventually(lambda: host.output.count("Executed 'Functions.on_timer'") > before)
    assert host.call("/admin/functions/on_queue", {"input": "by hand"})[0] == 202
    assert answers(3) == ["0", "by hand", "on_queue"]
    event = {
        "id": "1",
        "topic": "t",
        "subject": "hand",
        "eventType": "T",
        "dataVersion": "1",
        "eventTime": "2026-11-24T00:00:00Z",
        "data": {},
    }
    assert host.call("/admin/functions/on_event", {"input": json.dumps(event)})[0] == 202
    assert "hand" in answers(1)[0]
    _blob(host, "inbox/3/again.x").upload_blob(b"1")
    host.wait_for(r"on_blob: blob inbox/3/again\.x 1 None")
    assert host.call("/admin/functions/on_blob", {"input": "inbox/3/again.x"})[0] == 202
    host.wait_for(r"on_blob: blob inbox/3/again\.x 1 None", count=2)
    assert host.call("/admin/functions/on_queue", {})[0] == 202
    assert len(answers(3)) == 3


def test_given_a_timer_with_a_retry_policy_when_it_fails_then_it_runs_again_in_the_same_process(
    host: Any,
) -> None:
    host.wait_for(r"on_timer: timer attempt 2 of 3")
    host.wait_for(r"Executed 'Functions.on_timer' \(Succeeded")
    assert host.output.count("Executed 'Functions.on_timer' (Failed") >= 2
    assert (
        "Waiting for `0:00:00.050000` before retrying function execution. Next attempt: '1'." in host.output
    )


def test_given_an_http_function_when_it_reads_and_writes_blobs_then_names_come_from_the_request(
    host: Any,
) -> None:
    status, _ = host.call("/api/put/first?q=3", {"kind": "json"})
    assert status == 201
    assert json.loads(_blob(host, "outbox/put/first-json-3").download_blob().readall()) == {"kind": "json"}
    assert host.call("/api/get/first-json-3")[1] == b'{\n  "kind": "json"\n}'
    assert host.call("/api/get/nothing")[1] == b"None"
    status, _ = host.call("/api/put/second?q=3", {"nobody": 1})  # {kind} has no value
    assert status == 500
    host.wait_for("No value for named parameter 'kind'")


def test_given_what_a_function_says_when_it_runs_then_each_line_carries_its_name(host: Any) -> None:
    status, thread = host.call("/api/say")
    assert (status, thread.startswith(b"devhost-function")) == (200, True)
    host.wait_for(r"\[\S+Z\] say: printed in one line\n")
    host.wait_for(r"\[\S+Z\] warning: say: logged\n")
    assert "not at this level" not in host.output


def test_given_results_that_cannot_be_used_when_returned_then_the_words_are_the_workers(host: Any) -> None:
    assert host.call("/api/none") == (500, b"")
    host.wait_for(
        r"TypeError: unable to encode outgoing TypedData: unsupported type .* for Python type \"NoneType\""
    )
    assert host.call("/api/number") == (500, b"")
    host.wait_for(r"for Python type \"int\"")
    assert host.call("/admin/functions/gives", {})[0] == 202
    host.wait_for(r"RuntimeError: function 'gives' without a \$return binding returned a non-None value")


def test_given_functions_that_cannot_run_when_the_host_starts_then_the_cause_is_told_and_others_go_on(
    host: Any,
) -> None:
    indexing = "Microsoft.Azure.WebJobs.Host: Error indexing method 'Functions.{}'. "
    expected = {
        "on_cosmos": "devhost does not know the trigger binding 'cosmosDBTrigger'",
        "to_table": "devhost does not know the output binding 'table'",
        "bad_route": indexing + "Microsoft.Azure.WebJobs.Host: '%NOWHERE%' does not resolve to a value.",
        "no_setting": indexing + "Microsoft.Azure.WebJobs.Host: '%NOWHERE%' does not resolve to a value.",
        "bad_path": indexing + "Microsoft.Azure.WebJobs.Extensions.Storage.Blobs: Invalid blob trigger path"
        " '{{c}}/x'. Container paths cannot contain {{resolve}} tokens.",
        "no_connection": indexing + "Microsoft.Azure.WebJobs.Extensions.Storage.Blobs: Storage account"
        " connection string 'AzureWebJobsNOWHERE' does not exist.",
        "bad_queue": indexing + "Microsoft.Azure.WebJobs.Extensions.Storage.Queues: A queue name can contain",
        "bad_retry": indexing + "Microsoft.Azure.WebJobs.Host: retry: strategy is 'sometimes'",
    }
    for name, text in expected.items():
        cause = text.format(name)
        assert f"The '{name}' function is in error: {cause}" in host.output
        status, body = host.call(f"/admin/functions/{name}/status")
        assert (status, json.loads(body)["errors"][0][: len(cause)]) == (200, cause)
    assert host.call("/api/table") == (404, b"")
    assert host.call("/api/from/setting/7") == (200, b"7")
    assert "The retry policy of 'retried' has no effect" in host.output
    assert "host.json names no extensionBundle: without one, func start and Azure do not know" in host.output


def test_given_a_disabled_function_when_the_host_starts_then_it_says_so_as_func_does(host: Any) -> None:
    assert host.call("/api/off") == (404, b"")
    listed = host.output.partition("\nFunctions:\n\n")[2].partition("Opened local http RPC endpoint")[0]
    assert "off:" not in listed
    assert listed.endswith("Function off is disabled.\n")
    names = re.findall(r"^\t(\w+): ", listed, re.MULTILINE)
    http = ["bad_route", "get", "none", "number", "put", "retried", "routed", "say", "to_table"]
    assert names[: len(http)] == http
    assert f"\tput: [POST] {host.url}/api/put/{{name}}\n\n" in listed
    assert "\ton_queue: queueTrigger\n\n" in listed
