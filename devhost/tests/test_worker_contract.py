"""Promises of the Python worker to functions: threads, one loop, context, log levels."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long

APP = """
import asyncio, json, logging, os, sys, threading, time
from pathlib import Path
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
GATE = Path(__file__).with_name("gate")
loops, threads = [], []

@app.route(route="start")
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> str:
    loops.append(id(asyncio.get_running_loop()))
    instance = await client.start_new("one")
    await asyncio.sleep(0.2)
    return f"{instance} {len(set(loops))}"

@app.route(route="sync_client")
@app.durable_client_input(client_name="client")
def sync_client(req: func.HttpRequest, client: df.DurableOrchestrationClient):
    return func.HttpResponse("never")

@app.route(route="block")
async def block(req: func.HttpRequest) -> str:
    GATE.with_name("blocked").touch()
    while not GATE.exists():
        time.sleep(0.02)  # on purpose: blocks the loop of all async functions
    return "free"

@app.route(route="alone")
def alone(req: func.HttpRequest) -> str:
    threads.append(1)
    time.sleep(0.05)
    together = len(threads)
    threads.pop()
    return str(together)

@app.route(route="context")
def context_of(req: func.HttpRequest, context: func.Context) -> str:
    retry = context.retry_context
    return json.dumps([context.function_name, context.function_directory, context.invocation_id,
                       retry.retry_count, retry.max_retry_count, retry.rpc_exception,
                       context.trace_context.Traceparent, context.thread_local_storage.invocation_id])

@app.route(route="exit")
def leaves(req: func.HttpRequest) -> str:
    sys.exit("left")

@app.route(route="exit_async")
async def leaves_async(req: func.HttpRequest) -> str:
    sys.exit("left too")

@app.route(route="unknown")
def unknown(req: func.HttpRequest):
    return {"class": Mine()}

class Mine:
    def __reduce__(self):
        return Mine, ()

@app.route(route="quiet")
def quiet(req: func.HttpRequest) -> str:
    logging.warning("user line of quiet")
    print("print of quiet")
    logging.debug("debug of quiet")
    return "ok"

@app.route(route="loud")
def loud(req: func.HttpRequest) -> str:
    logging.debug("debug of loud")
    return "ok"

@app.orchestration_trigger(context_name="context")
def one(context):
    return (yield context.call_activity("give", None))

@app.activity_trigger(input_name="payload")
def give(payload: str) -> str:
    return "given"
"""
HOST_JSON = {
    "logging": {
        "logLevel": {
            "default": "Information",
            "Function.quiet.User": "Error",
            "Function.quiet": "None",
            "Host.Function.Console": "None",
            "Function.loud": "Debug",
        }
    }
}


@pytest.fixture(scope="module")
def host(host_of: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("contract")
    (folder / "function_app.py").write_text(APP)
    (folder / "host.json").write_text(json.dumps(HOST_JSON))
    host = host_of(folder, "--no-reload", PYTHON_THREADPOOL_THREAD_COUNT="1", PYTHON_ENABLE_DEBUG_LOGGING="1")
    host.folder = folder
    return host


def test_given_two_async_functions_with_a_client_then_one_shared_loop(
    host: Any,
) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = [call.result() for call in [pool.submit(host.call, "/api/start") for _ in range(2)]]
    assert [status for status, _ in answers] == [200, 200]
    assert {body.split()[1] for _, body in answers} == {b"1"}


def test_given_a_sync_function_with_a_client_then_fails_as_on_azure(host: Any) -> None:
    assert host.call("/api/sync_client") == (500, b"")
    host.wait_for("TypeError: object HttpResponse can't be used in 'await' expression")


def test_given_a_blocked_user_loop_then_the_rpc_api_still_answers(host: Any) -> None:
    rpc = host.wait_for(r"Opened local http RPC endpoint: (http://\S+)/durabletask/")[1]
    outcome: list[tuple[int, bytes]] = []
    caller = threading.Thread(target=lambda: outcome.append(host.call("/api/block")))
    caller.start()
    while not (host.folder / "blocked").exists():
        pass
    url, host.url = host.url, rpc
    try:
        assert host.call("/durabletask/instances/nobody")[0] == 404  # while nothing async can run
    finally:
        host.url = url
        (host.folder / "gate").touch()
    caller.join(30)
    assert outcome == [(200, b"free")]


def test_given_one_thread_then_sync_functions_run_one_after_the_other(
    host: Any,
) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = {call.result() for call in [pool.submit(host.call, "/api/alone") for _ in range(4)]}
    assert answers == {(200, b"1")}


def test_given_a_context_parameter_when_called_then_it_tells_of_the_run(host: Any) -> None:
    status, body = host.call("/api/context")
    assert status == 200, host.output
    name, folder, run, count, most, error, trace, local = json.loads(body)
    assert (name, Path(folder)) == ("context_of", host.folder.resolve())
    assert (count, most, error, trace, local) == (0, 0, None, "", run)
    host.wait_for(
        re.escape(
            f"Executing 'Functions.context_of' (Reason='This function was programmatically"
            f" called via the host APIs.', Id={run})"
        )
    )


def test_given_functions_that_call_sys_exit_then_only_their_runs_fail(host: Any) -> None:
    for path, message in (("exit", "left"), ("exit_async", "left too")):
        assert host.call(f"/api/{path}") == (500, b"")
        host.wait_for(f"SystemExit: {message}\n")
    assert host.call("/api/unknown") == (500, b"")  # a result whose class the host does not know
    assert host.call("/api/loud")[0] == 200
    assert "Language worker process exited" not in host.output


def test_given_log_levels_in_host_json_then_categories_are_filtered(
    host: Any,
) -> None:
    assert host.call("/api/quiet")[0] == 200
    assert host.call("/api/loud")[0] == 200
    host.wait_for("loud: debug of loud")
    host.wait_for(r"Executed 'Functions\.loud' \(Succeeded, Id=")
    for silent in ("user line of quiet", "print of quiet", "debug of quiet", "'Functions.quiet'"):
        assert silent not in host.output


def test_given_an_app_indexed_twice_in_one_process_then_the_sdk_refuses(
    tmp_path: Path,
) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    code = (
        "import pathlib, sys; from devhost.worker.indexing import load_functions as load;"
        f"root = pathlib.Path({str(tmp_path)!r}); print(len(load(root))); load(root)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "12"
    assert "does not have a unique function name" in ended.stderr


def test_given_a_module_named_as_one_of_pythons_then_the_worker_starts(
    tmp_path: Path, run_host: Callable[..., Any]
) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    (tmp_path / "signal.py").write_text("raise ImportError('not the one that was meant')")
    assert run_host(tmp_path, "--no-reload").call("/api/loud")[0] == 200
