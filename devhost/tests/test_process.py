"""The host as a process: a small durable app over real HTTP, its errors, its end, a kill."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long

APP = """
import logging, os, time, urllib.request
from datetime import timedelta
from pathlib import Path
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.route(route="echo/{name}", methods=["POST"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    head = {"x-name": req.route_params["name"], "x-query": str(dict(req.params))}
    return func.HttpResponse(req.get_body(), headers=head, mimetype="application/octet-stream")

@app.route(route="boom")
def boom(req: func.HttpRequest) -> str:
    raise ValueError("told in the log")

@app.route(route="who")
async def who(req: func.HttpRequest, context) -> str:
    return f"{context.function_name} {os.environ['WEBSITE_HOSTNAME']}"

@app.route(route="nest/{depth:int}")
def nest(req: func.HttpRequest) -> str:
    depth = int(req.route_params["depth"])
    logging.info("at depth %d", depth)
    if depth == 0:
        return "0"
    url = f"http://{os.environ['WEBSITE_HOSTNAME']}/api/nest/{depth - 1}"
    with urllib.request.urlopen(url, timeout=20) as below:
        return below.read().decode() + str(depth)

@app.route(route="start")
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client) -> func.HttpResponse:
    return client.create_check_status_response(req, await client.start_new("chain", "one", {"a": 1}))

@app.orchestration_trigger(context_name="context")
def chain(context):
    first = yield context.call_activity("slow", context.get_input())
    return (yield context.call_activity("quick", first))

@app.orchestration_trigger(context_name="context")
def mixed(context):
    numbers = yield context.task_all([context.call_activity("add", n) for n in range(3)])
    yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=300))
    total = yield context.call_sub_orchestrator("summing", numbers)
    return total

@app.orchestration_trigger(context_name="context")
def summing(context):
    return (yield context.call_activity("add", sum(context.get_input())))

@app.activity_trigger(input_name="x")
def add(x: int) -> int:
    return x + 1

@app.activity_trigger(input_name="x")
def slow(x: dict) -> dict:
    gate = Path(__file__).with_name("gate")
    with Path(__file__).with_name("attempts").open("a") as log:
        log.write("x")
    while not gate.exists():
        time.sleep(0.02)
    return x

@app.activity_trigger(input_name="x")
async def quick(x: dict) -> list:
    return [x, "done"]
"""


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Starts a host over the app in `tmp_path`; gives the process and its address."""
    started: list[subprocess.Popen[str]] = []

    def run(*options: str) -> tuple[subprocess.Popen[str], str]:
        process = _host(tmp_path, *options)
        started.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"devhost is listening on (\S+)", line):
                return process, found[1]
        raise AssertionError(process.communicate()[1])

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _host(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "devhost",
        "start",
        "--script-root",
        str(folder),
        "--port",
        "0",
        *options,
    ]
    environment = {k: v for k, v in os.environ.items() if v != "UseDevelopmentStorage=true"}
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _call(
    url: str, data: bytes | None = None, method: str | None = None
) -> tuple[int, bytes, dict[str, str]]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read(), {k.lower(): v for k, v in answer.headers.items()}
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), {}


def _eventually(check: Callable[[], Any], seconds: float = 15) -> Any:
    until = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)
    return value


def test_given_an_app_then_http_and_admin_answer_and_sigterm_exits_0(
    tmp_path: Path, launch: Callable[..., tuple[subprocess.Popen[str], str]]
) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    process, base = launch()
    blob = os.urandom(5_000_000)
    status, body, headers = _call(f"{base}/API/echo/J%C3%B6?x=1&X=2&y=", blob)
    assert (status, body == blob) == (200, True)
    assert headers["x-query"] == "{'X': '1,2'}"
    assert _call(f"{base}/api/boom")[:2] == (500, b"")
    assert _call(f"{base}/api/echo/a")[:2] == (404, b"")
    assert _call(f"{base}/api/who")[1].decode() == f"who {base.removeprefix('http://')}"
    assert _call(base + "/")[0] == 200
    assert json.loads(_call(f"{base}/admin/host/status")[1])["state"] == "Running"
    names = {f["name"] for f in json.loads(_call(f"{base}/admin/functions")[1])}
    assert names == {
        "echo",
        "boom",
        "who",
        "nest",
        "start",
        "chain",
        "mixed",
        "summing",
        "add",
        "slow",
        "quick",
    }
    assert _call(f"{base}/admin/functions/QUICK", b'{"input": "{}"}')[0] == 202
    assert _call(f"{base}/admin/functions/quick", b'{"input": {}}')[0] == 400
    assert _call(f"{base}/admin/functions/nobody", b"{}")[0] == 404
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "ValueError: told in the log" in output
    assert "Executed 'Functions.boom' (Failed" in output


def test_given_deeply_nested_function_calls_then_none_awaits_a_thread(
    tmp_path: Path, launch: Callable[..., tuple[subprocess.Popen[str], str]]
) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    process, base = launch()
    assert _call(f"{base}/api/nest/12")[1] == b"0123456789101112"
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "nest: at depth 12" in output


@pytest.mark.slow
def test_given_repeated_kills_then_orchestrations_end_and_none_twice(
    tmp_path: Path, launch: Callable[..., tuple[subprocess.Popen[str], str]]
) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    moments = random.Random(7)
    process, base = launch()
    instances = [f"m{n}" for n in range(60)]
    for number, instance in enumerate(instances):
        url = f"{base}/runtime/webhooks/durabletask/orchestrators/mixed/{instance}"
        assert _call(url, b"", "POST")[0] == 202
        if number % 10 == 9:
            time.sleep(moments.random() * 0.4)
            process.kill()
            process.communicate()
            process, base = launch()

    def status(instance: str) -> Any:
        query = "?showHistory=true&showHistoryOutput=true"
        return json.loads(_call(f"{base}/runtime/webhooks/durabletask/instances/{instance}{query}")[1])

    for instance in instances:
        found = _eventually(lambda i=instance: (s := status(i))["runtimeStatus"] == "Completed" and s)
        assert found["output"] == 7
        kinds = [event["EventType"] for event in found["historyEvents"]]
        wanted = ["TaskCompleted"] * 3 + ["TimerCreated", "TimerFired", "SubOrchestrationInstanceCompleted"]
        assert kinds == ["ExecutionStarted", *wanted, "ExecutionCompleted"]


def test_given_a_host_killed_mid_activity_then_the_next_one_finishes_it(
    tmp_path: Path, launch: Callable[..., tuple[subprocess.Popen[str], str]]
) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    process, base = launch()
    assert _call(f"{base}/api/start", b"")[0] == 202
    _eventually(lambda: (tmp_path / "attempts").exists())
    process.kill()
    process.wait()
    (tmp_path / "gate").touch()
    process, base = launch()
    url = f"{base}/runtime/webhooks/durabletask/instances/one"

    def finished() -> Any:
        status = json.loads(_call(url)[1])
        return status["runtimeStatus"] == "Completed" and status

    assert _eventually(finished)["output"] == [{"a": 1}, "done"]
    assert (tmp_path / "attempts").read_text() == "xx"


def test_given_a_state_folder_in_use_then_a_second_host_says_so(
    tmp_path: Path, launch: Callable[..., tuple[subprocess.Popen[str], str]]
) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    launch()
    _refused(tmp_path, "another host uses the state folder")


def test_given_a_damaged_state_file_then_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    state = tmp_path / ".devhost"
    state.mkdir()
    (state / "devhost.sqlite").write_bytes(b"no database" * 1000)
    _refused(tmp_path, f"the state file {state / 'devhost.sqlite'} cannot be read (file is not a database): ")


def test_given_a_limit_of_bodies_then_larger_ones_get_a_500(
    tmp_path: Path,
    launch: Callable[..., tuple[subprocess.Popen[str], str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    monkeypatch.setenv("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "1000")
    _, base = launch()
    assert _call(f"{base}/api/echo/a", b"x" * 1000)[:2] == (200, b"x" * 1000)
    large = b'{"x": "' + b"x" * 1000 + b'"}'
    for path in ("api/echo/a", "admin/functions/quick", "runtime/webhooks/durabletask/orchestrators/chain"):
        assert _call(f"{base}/{path}", large)[:2] == (500, b"")
    monkeypatch.setenv("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "1 MB")
    why = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT must be a number of bytes, not '1 MB'"
    _refused(tmp_path, why, "--state", str(tmp_path / "other"))


def test_given_a_taken_port_when_the_host_starts_then_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        # Named with who has it: this very process.
        who = f"process {os.getpid()} ({(Path('/proc') / str(os.getpid()) / 'comm').read_text().strip()})"
        _refused(tmp_path, f"Port {port} is unavailable: {who} uses it. Close", "--port", str(port))


_MISMATCH = """
import azure.functions as func
app = func.FunctionApp()
@app.timer_trigger(arg_name="tick", schedule="0 0 0 * * *")
def nightly(timer: func.TimerRequest) -> None: ...
"""

_CONTEXT_NAME = """
import azure.durable_functions as df
app = df.DFApp()
@app.orchestration_trigger(context_name="ctx")
def chain(ctx):
    yield ctx.call_activity("a")
"""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (_CONTEXT_NAME, "cannot load the chain function: "),
        (None, "there is no function_app.py"),
        ("import nowhere_to_be_found", "function_app.py cannot be imported: ModuleNotFoundError"),
        ("x = 1", "one function app at its top level is needed, 0 found"),
        (
            _MISMATCH,
            "cannot load the nightly function: the following parameters are declared in Python but not in",
        ),
    ],
)
def test_given_a_broken_app_when_the_host_starts_then_one_line_says_why(
    tmp_path: Path, source: str | None, message: str
) -> None:
    if source is not None:
        (tmp_path / "function_app.py").write_text(source)
    _refused(tmp_path, message)


def _refused(folder: Path, message: str, *options: str) -> None:
    process = _host(folder, *options)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 1
    assert message in error
    assert error.count("\n") == 1
