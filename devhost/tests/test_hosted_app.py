"""One running host with every kind of trigger, and every kind that it refuses; emulator, real HTTP."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devhost.azurite import Azurite
from devhost.storage import Storage

APP = """
from __future__ import annotations
import json, logging, os, threading
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.blob_trigger(arg_name="blob", path="inbox/{day}/{name}.{ext}", connection="DATA")
async def on_blob(blob: func.InputStream) -> None:
    logging.info("blob %s %s %s", blob.name, blob.length, blob.read())

@app.blob_trigger(arg_name="blob", path="told/{name}", connection="DATA", source=func.BlobSource.EVENT_GRID)
def on_told(blob: func.InputStream) -> None:
    logging.info("told of %s", blob.name)

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
def on_timer(timer: func.TimerRequest, context: func.Context) -> None:
    logging.info("timer attempt %s", context.retry_context.retry_count)

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

@app.queue_trigger(arg_name="msg", queue_name="orders", connection="DATA")
def on_queue(msg: func.QueueMessage) -> None: ...

@app.entity_trigger(context_name="context")
def counter(context) -> None: ...

@app.event_grid_trigger(arg_name="event")
def on_event(event: func.EventGridEvent) -> None: ...

@app.route(route="table")
@app.table_output(arg_name="row", connection="DATA", table_name="t")
def to_table(req: func.HttpRequest, row: func.Out[str]) -> str:
    return "no"

@app.route(route="put")
@app.blob_output(arg_name="kept", path="outbox/put", connection="DATA")
def to_blob(req: func.HttpRequest, kept: func.Out[str]) -> str:
    return "no"

@app.route(route="get")
@app.blob_input(arg_name="found", path="outbox/put", connection="DATA")
def from_blob(req: func.HttpRequest, found: str) -> str:
    return "no"

@app.route(route="send")
@app.queue_output(arg_name="out", queue_name="answers", connection="DATA")
def to_queue(req: func.HttpRequest, out: func.Out[str]) -> str:
    return "no"

@app.timer_trigger(arg_name="timer", schedule="%NOWHERE%")
def no_setting(timer: func.TimerRequest) -> None: ...

@app.blob_trigger(arg_name="blob", path="{c}/x", connection="DATA")
def bad_path(blob: func.InputStream) -> None: ...

@app.blob_trigger(arg_name="blob", path="inbox/x", connection="NOWHERE")
def no_connection(blob: func.InputStream) -> None: ...

@app.route(route="retried")
@app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:00:01")
def retried(req: func.HttpRequest) -> str:
    return ""

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
@app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:00:01")
def retried_timer(timer: func.TimerRequest) -> None: ...
"""


@pytest.fixture(scope="module")
def host(azurite: Azurite, host_of: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("app")
    (folder / "function_app.py").write_text(APP)
    storage = Storage({"DATA": azurite.connection_string})
    for name in ("inbox", "told"):
        storage.blobs("DATA").create_container(name)
    settings = {"ROUTE": "from/setting", "AzureWebJobs.off.Disabled": "true"}
    (folder / "local.settings.json").write_text(json.dumps({"Values": settings}))
    host = host_of(folder, "--no-reload", DATA=azurite.connection_string, PYTHON_THREADPOOL_THREAD_COUNT="3")
    host.storage = storage
    return host


def _blob(host: Any, path: str) -> Any:
    return host.storage.blobs("DATA").get_blob_client(*path.split("/", 1))


def test_given_an_uploaded_blob_then_its_function_runs_from_any_source(host: Any) -> None:
    _blob(host, "inbox/é/a b%.json").upload_blob(b"\x00")
    host.wait_for(r"on_blob: blob inbox/é/a b%\.json 1 b'\\x00'")
    _blob(host, "inbox/1/empty.x").upload_blob(b"")
    host.wait_for(r"on_blob: blob inbox/1/empty\.x None b''")
    _blob(host, "told/x").upload_blob(b"1")
    host.wait_for("on_told: told of told/x")
    assert "Reason='New blob detected(EventGrid): told/x'" in host.output


def test_given_the_admin_api_then_each_kind_of_function_takes_its_input(
    host: Any, eventually: Callable[..., Any]
) -> None:
    host.wait_for("on_timer: timer attempt 0")
    before = host.output.count("Executed 'Functions.on_timer' (Succeeded")
    assert host.call("/admin/functions/on_timer", {"input": ""})[0] == 202
    eventually(lambda: host.output.count("Executed 'Functions.on_timer'") > before)
    _blob(host, "inbox/3/again.x").upload_blob(b"1")
    host.wait_for(r"on_blob: blob inbox/3/again\.x 1")
    assert host.call("/admin/functions/on_blob", {"input": "inbox/3/again.x"})[0] == 202
    host.wait_for(r"on_blob: blob inbox/3/again\.x 1", count=2)


def test_given_output_of_a_function_then_each_line_carries_its_name(host: Any) -> None:
    status, thread = host.call("/api/say")
    assert (status, thread.startswith(b"devhost-function")) == (200, True)
    host.wait_for(r"\[\S+Z\] say: printed in one line\n")
    host.wait_for(r"\[\S+Z\] warning: say: logged\n")
    assert "not at this level" not in host.output


def test_given_unusable_results_then_the_errors_are_the_workers(host: Any) -> None:
    assert host.call("/api/none") == (500, b"")
    host.wait_for(
        r"TypeError: unable to encode outgoing TypedData: unsupported type .* for Python type \"NoneType\""
    )
    assert host.call("/api/number") == (500, b"")
    host.wait_for(r"for Python type \"int\"")
    assert host.call("/admin/functions/gives", {})[0] == 202
    host.wait_for(r"RuntimeError: function 'gives' without a \$return binding returned a non-None value")


def test_given_functions_that_cannot_run_then_cause_told_and_others_run(
    host: Any,
) -> None:
    indexing = "Microsoft.Azure.WebJobs.Host: Error indexing method 'Functions.{}'. "
    expected = {
        "on_cosmos": "devhost does not run functions with a cosmosDBTrigger: on_cosmos. It runs http",
        "on_queue": "devhost does not run queue functions: on_queue. It runs http",
        "counter": "devhost does not run entity functions: counter. It runs http",
        "on_event": "devhost does not run Event Grid functions: on_event. It runs http",
        "to_table": "devhost does not run table output bindings: to_table. It writes the HTTP response alone",
        "to_blob": "devhost does not run blob output bindings: to_blob. ",
        "from_blob": "devhost does not run blob input bindings: from_blob. It gives a durableClient alone",
        "to_queue": "devhost does not run queue output bindings: to_queue. ",
        "retried_timer": "devhost does not run retry policies (@app.retry): retried_timer. ",
        "bad_route": indexing + "Microsoft.Azure.WebJobs.Host: '%NOWHERE%' does not resolve to a value.",
        "no_setting": indexing + "Microsoft.Azure.WebJobs.Host: '%NOWHERE%' does not resolve to a value.",
        "bad_path": indexing + "Microsoft.Azure.WebJobs.Extensions.Storage.Blobs: Invalid blob trigger path"
        " '{{c}}/x'. Container paths cannot contain {{resolve}} tokens.",
        "no_connection": indexing + "Microsoft.Azure.WebJobs.Extensions.Storage.Blobs: Storage account"
        " connection string 'AzureWebJobsNOWHERE' does not exist.",
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


def test_given_a_disabled_function_then_the_host_says_so_as_func_does(host: Any) -> None:
    assert host.call("/api/off") == (404, b"")
    listed = host.output.partition("\nFunctions:\n\n")[2].partition("Opened local http RPC endpoint")[0]
    assert "off:" not in listed
    assert listed.endswith("Function off is disabled.\n")
    names = re.findall(r"^\t(\w+): ", listed, re.MULTILINE)
    http = ["bad_route", "from_blob", "none", "number", "retried", "routed", "say", "to_blob", "to_queue"]
    assert names[: len(http)] == http
    assert f"\tsay:  {host.url}/api/say\n\n" in listed
    assert "\ton_blob: blobTrigger\n\n" in listed
