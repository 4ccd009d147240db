"""A worker process that dies: the real host's recorded outcomes, the restart, the end of the host."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devhost.durable import texts
from devhost.durable.history import Kind
from devhost.errors import NoWorkerError, WorkerExitedError
from devhost.settings import LogLevels
from devhost.worker.messages import Datum, Run, Setup
from devhost.worker.process import WorkerProcess

pytestmark = pytest.mark.long

APP = """
import ctypes, os, sys, time
from datetime import timedelta
from pathlib import Path
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
HERE = Path(__file__).parent

def stay(name):
    # Tell that it has begun, and wait for the gate.
    with (HERE / f"{name}.begun").open("a") as log:
        log.write("x")
    while not (HERE / f"{name}.gate").exists():
        time.sleep(0.01)

@app.route(route="pid")
def pid(req: func.HttpRequest) -> str:
    return str(os.getpid())

@app.route(route="stuck")
def stuck(req: func.HttpRequest) -> str:
    stay("stuck")
    return "free"

@app.route(route="end/{how}")
def end(req: func.HttpRequest) -> str:
    print("a line on stdout")
    os.write(2, b"a line on stderr\\n")
    how = req.route_params["how"]
    ctypes.string_at(0) if how == "segfault" else os._exit(int(how))

@app.orchestration_trigger(context_name="context")
def polls(context):
    first = yield context.call_activity("check_export_job", None)
    stay(f"polls-{context.instance_id}")
    return first

@app.orchestration_trigger(context_name="context")
def begins(context):
    stay("begins")
    return (yield context.call_activity("check_export_job", None))

@app.orchestration_trigger(context_name="context")
def parent(context):
    try:
        yield context.call_sub_orchestrator("polls", None, "child")
    except Exception as error:
        return str(error)

@app.orchestration_trigger(context_name="context")
def works(context):
    try:
        return (yield context.call_activity("work", context.instance_id))
    except Exception as error:
        return str(error)

@app.orchestration_trigger(context_name="context")
def waits(context):
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1.5))
    return "waited"

@app.activity_trigger(input_name="x")
def check_export_job(x):
    return "done"

@app.activity_trigger(input_name="x")
def work(x: str) -> str:
    stay(f"work-{x}")
    return "worked"
"""
NO_LONGER_SCHEDULED = (
    "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled an activity"
    " task with sequence ID 0 and name 'check_export_job' (version ''), but the current replay execution"
    " hasn't (yet?) scheduled this task. Was a change made to the orchestrator code after this instance had"
    " already started running?"
)
API = "/runtime/webhooks/durabletask"


@pytest.fixture
def host(run_host: Callable[..., Any], tmp_path: Path) -> Any:
    (tmp_path / "function_app.py").write_text(APP)
    host = run_host(tmp_path, "--no-reload")
    host.folder = tmp_path
    return host


@pytest.fixture
def begun(host: Any, eventually: Callable[..., Any]) -> Callable[..., None]:
    """Waits until something has begun, so many times."""

    def wait(name: str, times: int = 1) -> None:
        log = host.folder / f"{name}.begun"
        eventually(lambda: log.exists() and len(log.read_text()) >= times)

    return wait


def _worker(host: Any) -> int:
    """The worker's number; a call that still reached a dying one fails, and is made again."""
    while (answer := host.call("/api/pid"))[0] != 200:
        time.sleep(0.02)
    return int(answer[1])


def _kill(host: Any) -> None:
    os.kill(_worker(host), signal.SIGKILL)


def _start(host: Any, name: str, instance_id: str) -> None:
    assert host.call(f"{API}/orchestrators/{name}/{instance_id}", b"")[0] == 202


def _status(host: Any, instance_id: str) -> Any:
    return json.loads(host.call(f"{API}/instances/{instance_id}?showHistory=true&showHistoryOutput=true")[1])


def _ended(host: Any, instance_id: str) -> Any:
    until = time.monotonic() + 60
    while (status := _status(host, instance_id))["runtimeStatus"] in ("Pending", "Running"):
        assert time.monotonic() < until, status
        time.sleep(0.02)
    return status


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"


# --- what was in flight ---


def test_given_an_episode_after_a_step_when_the_worker_dies_then_it_fails(
    host: Any, begun: Callable[..., None]
) -> None:
    _start(host, "polls", "p")
    begun("polls-p")
    _kill(host)
    status = _ended(host, "p")
    assert (status["runtimeStatus"], status["output"]) == ("Failed", NO_LONGER_SCHEDULED)
    kinds = [event["EventType"] for event in status["historyEvents"]]
    assert kinds == ["ExecutionStarted", "TaskCompleted", "ExecutionCompleted"]
    assert "is not deterministic and would break" not in host.output


def test_given_a_first_episode_when_the_worker_dies_then_it_fails_too(
    host: Any, begun: Callable[..., None]
) -> None:
    _start(host, "begins", "b")
    begun("begins")
    _kill(host)
    status = _ended(host, "b")
    exited = f"{sys.executable} exited with code 137 (0x89)"
    wanted = f"Orchestrator function 'begins' failed: One or more errors occurred. ({exited})"
    assert (status["runtimeStatus"], status["output"]) == ("Failed", wanted)


def test_given_a_child_in_flight_when_the_worker_dies_then_its_parent_sees(
    host: Any, begun: Callable[..., None]
) -> None:
    _start(host, "parent", "p")
    begun("polls-child")
    _kill(host)
    status = _ended(host, "p")
    assert (status["runtimeStatus"], status["output"][: len(NO_LONGER_SCHEDULED)]) == (
        "Completed",
        NO_LONGER_SCHEDULED,
    )
    assert _status(host, "child")["output"] == NO_LONGER_SCHEDULED


def test_given_activities_when_the_worker_dies_then_all_fail_as_recorded(
    host: Any, begun: Callable[..., None]
) -> None:
    for name in ("guilty", "innocent"):
        _start(host, "works", name)
        begun(f"work-{name}")
    _kill(host)
    exited = f"{sys.executable} exited with code 137 (0x89)"
    wanted = (
        f"Activity function 'work' failed: {exited} \n "
        '{"$type":"Microsoft.Azure.WebJobs.Script.Workers.WorkerProcessExitException,'
        f' Microsoft.Azure.WebJobs.Script","Message":"{exited}",'
    )
    for name in ("guilty", "innocent"):
        assert _ended(host, name)["output"].startswith(wanted)
        # Not delivered again.
        assert (host.folder / f"work-{name}.begun").read_text() == "x"
    assert re.search(r"Executed 'Functions\.work' \(Failed, .*\n.*exited with code 137", host.output)


def test_given_an_http_call_when_the_worker_dies_then_500_the_next_waits(
    host: Any, begun: Callable[..., None]
) -> None:
    first, answers = _worker(host), list[tuple[int, bytes]]()
    caller = threading.Thread(target=lambda: answers.append(host.call("/api/stuck")))
    caller.start()
    begun("stuck")
    os.kill(first, signal.SIGKILL)
    second = _worker(host)  # waits for the new worker
    caller.join(30)
    assert answers == [(500, b"")]
    assert second != first
    assert _is_gone(first)


@pytest.mark.parametrize(("how", "code"), [("1", "1 (0x1)"), ("segfault", "139 (0x8B)"), ("0", "0 (0x0)")])
def test_given_a_function_that_ends_the_process_then_only_the_worker_ends(
    host: Any, how: str, code: str
) -> None:
    assert host.call(f"/api/end/{how}") == (500, b"")
    host.wait_for(rf"Language worker process exited: \S+ exited with code {re.escape(code)}")
    assert "a line on stdout" in host.output
    assert host.call("/api/pid")[0] == 200
    host.process.terminate()
    assert host.process.wait(30) == 0
    assert "a line on stderr" in host.process.stderr.read()


# --- the host's part ---


def test_given_three_deaths_then_the_host_ends_and_the_next_one_goes_on(
    host: Any, begun: Callable[..., None], run_host: Callable[..., Any]
) -> None:
    _start(host, "works", "first")
    begun("work-first")
    _kill(host)
    # Its last episode must not be in flight at the next death: that is another outcome.
    _ended(host, "first")
    for _ in range(2):
        _kill(host)
    assert host.process.wait(30) == 3
    assert "Exceeded language worker restart retry count for runtime:python" in host.output
    again = run_host(host.folder, "--no-reload")
    assert "exited with code 137" in _ended(again, "first")["output"]
    (host.folder / "work-second.gate").touch()
    _start(again, "works", "second")
    assert _ended(again, "second")["output"] == "worked"


def test_given_a_supervised_host_when_workers_die_then_it_is_started_again(
    tmp_path: Path, run_host: Callable[..., Any]
) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    host = run_host(tmp_path)
    for _ in range(3):
        _kill(host)
    host.wait_for("Starting the host again …")
    host.wait_for("devhost is listening on ", count=2)
    assert host.call("/api/pid")[0] == 200
    host.process.send_signal(signal.SIGINT)
    assert host.process.wait(30) == 0


@pytest.mark.parametrize("options", [(), ("--no-reload",)])
def test_given_a_killed_host_then_no_worker_is_left(
    options: tuple[str, ...], tmp_path: Path, run_host: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    host = run_host(tmp_path, *options)
    worker = _worker(host)
    host.process.kill()
    host.process.wait(20)
    eventually(lambda: _is_gone(worker))


def test_given_signals_for_the_whole_group_then_an_activity_is_drained(
    host: Any, begun: Callable[..., None], run_host: Callable[..., Any]
) -> None:
    _start(host, "works", "w")
    begun("work-w")
    worker = _worker(host)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(worker, number)  # as a terminal does, and localdev
    host.process.terminate()
    host.wait_for("Stopping …")
    (host.folder / "work-w.gate").touch()
    assert host.process.wait(30) == 0
    assert _is_gone(worker)
    assert _ended(run_host(host.folder), "w")["output"] == "worked"


def test_given_messages_lost_by_hand_then_the_instance_waits_for_ever(
    host: Any, eventually: Callable[..., Any]
) -> None:
    # As it was done on the real host: the control queue cleared while orchestrations wait for their timers.
    for name in ("one", "other"):
        _start(host, "waits", name)
        eventually(lambda name=name: "TimerCreated" in json.dumps(_status(host, name)))
    assert json.loads(host.call("/admin/devhost/messages/one", method="DELETE")[1]) == {"lost": 1}
    before = _status(host, "one")
    assert _ended(host, "other")["output"] == "waited"
    time.sleep(0.5)
    assert _status(host, "one") == before
    assert before["runtimeStatus"] == "Running"
    _start(host, "waits", "third")
    eventually(lambda: "TimerCreated" in json.dumps(_status(host, "third")))
    assert json.loads(host.call("/admin/devhost/messages", method="DELETE")[1]) == {"lost": 1}
    # A new message wakes it.
    assert host.call(f"{API}/instances/one/terminate", b"", "POST")[0] == 202
    assert _ended(host, "one")["runtimeStatus"] == "Terminated"


def test_kinds_of_steps_have_the_texts_of_the_real_host() -> None:
    timer = texts.no_longer_scheduled({"EventType": Kind.TIMER_CREATED, "EventId": 2})
    assert "scheduled a timer task with sequence number 2 but the current replay execution hasn't" in timer
    sub = texts.no_longer_scheduled(
        {"EventType": Kind.SUB_CREATED, "EventId": 1, "Name": "k", "Version": None, "InstanceId": "i"}
    )
    assert (
        "a sub-orchestration task with sequence ID 1 and name 'k' (version '', instance ID 'i'), but" in sub
    )


# --- the process alone ---

_DIES = """
import os
import azure.durable_functions as df
app = df.DFApp()

@app.activity_trigger(input_name="x")
def work(x: int):
    os._exit(x) if x else None
    return {"x": x}
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[tuple[WorkerProcess, list[float], list[bool]]]:
    """A worker process; the clock of its keeper, and whether it was given up."""
    (tmp_path / "function_app.py").write_text(_DIES)
    now, lost = [0.0], list[bool]()
    worker = WorkerProcess(
        Setup(tmp_path, LogLevels(), "{}"), lost=lambda: lost.append(True), clock=lambda: now[0]
    )
    worker.start()
    yield worker, now, lost
    worker.stop()


def _work(worker: WorkerProcess, value: int) -> Any:
    return worker.ask(Run("work", Datum(str(value), "string")))


def test_given_rare_deaths_then_the_worker_is_replaced_for_ever(
    process: tuple[WorkerProcess, list[float], list[bool]],
) -> None:
    worker, now, lost = process
    assert [function.name for function in worker.functions()] == ["work"]
    for _ in range(4):
        with pytest.raises(WorkerExitedError, match=r"exited with code 7 \(0x7\)"):
            _work(worker, 7)
        now[0] += 1801
    assert _work(worker, 0) == Datum('{"x": 0}', "json")
    assert lost == []
    now[0] -= 1801
    for _ in range(2):
        with pytest.raises(WorkerExitedError):
            _work(worker, 7)
    assert worker.is_lost
    with pytest.raises(NoWorkerError):
        _work(worker, 0)
    worker.stop()
    assert lost == [True]


def test_given_harsh_kills_then_the_run_that_was_sent_fails(
    process: tuple[WorkerProcess, list[float], list[bool]],
) -> None:
    worker, _, _ = process
    asked: list[str] = []
    worker.kills = lambda function: asked.append(function) or len(asked) == 1
    with pytest.raises(WorkerExitedError, match="137"):
        _work(worker, 0)
    assert _work(worker, 0) == Datum('{"x": 0}', "json")
    assert asked == ["work", "work"]
