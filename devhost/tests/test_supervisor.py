"""Hot reload as a process: changes, mistakes, and how parent and child end together."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long

APP = """
import os, time
from pathlib import Path
import azure.functions as func
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.route(route="version")
def version(req: func.HttpRequest) -> str:
    return f"VERSION {os.getpid()} {os.environ['WEBSITE_HOSTNAME']}"

@app.route(route="slow")
def slow(req: func.HttpRequest) -> str:
    Path(__file__).with_name("begun").touch()
    time.sleep(1)
    return "whole"
"""
LISTENING = r"devhost is listening on "


def _write(folder: Path, version: str, name: str = "function_app.py") -> None:
    (folder / name).write_text(APP.replace("VERSION", version))


def _worker(host: Any) -> int:
    """The process that runs the functions."""
    return int(host.call("/api/version")[1].split()[1])


def _parent(pid: int) -> int:
    return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])


def _child(host: Any) -> int:
    """The host's process, a child of the one that was started."""
    return _parent(_worker(host))


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return (Path("/proc") / str(pid) / "stat").read_text().split()[2] == "Z"


def test_given_a_code_change_then_the_new_code_answers_on_the_same_port(
    tmp_path: Path, run_host: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    _write(tmp_path, "one")
    host = run_host(tmp_path)
    assert host.call("/api/version")[1].startswith(b"one ")
    first = _child(host)
    assert first != host.process.pid
    outcome: list[tuple[int, bytes]] = []
    running = threading.Thread(target=lambda: outcome.append(host.call("/api/slow")))
    running.start()
    while not (tmp_path / "begun").exists():
        pass
    _write(tmp_path, "two")
    host.wait_for(r"Change of function_app\.py detected: restarting …")
    running.join(30)
    assert outcome == [(200, b"whole")]  # what ran was drained
    # Until the old one is gone it may still answer; nobody is refused in between.
    eventually(lambda: host.call("/api/version")[1].startswith(b"two "))
    eventually(lambda: _is_gone(first))


def test_given_clients_that_never_pause_then_a_reload_refuses_none(
    tmp_path: Path, run_host: Callable[..., Any]
) -> None:
    _write(tmp_path, "one")
    host = run_host(tmp_path)
    ended, answers = threading.Event(), list[tuple[int, bytes]]()

    def ask() -> None:
        while not ended.is_set():
            try:
                answers.append(host.call("/api/version"))
            except OSError as error:
                answers.append((0, repr(error).encode()))

    clients = [threading.Thread(target=ask) for _ in range(2)]
    for client in clients:
        client.start()
    for count in (2, 3):
        _write(tmp_path, f"v{count}")
        host.wait_for(LISTENING, count=count)
    while not answers[-1][1].startswith(b"v3"):
        pass
    ended.set()
    for client in clients:
        client.join(30)
    assert {status for status, _ in answers} == {200}, [a for a in answers if a[0] != 200]


def test_given_a_mistake_in_a_change_when_mended_then_the_host_goes_on(
    tmp_path: Path, run_host: Callable[..., Any]
) -> None:
    _write(tmp_path, "one")
    host = run_host(tmp_path)
    (tmp_path / "function_app.py").write_text("this is no Python")
    host.wait_for("Waiting for the next change of the app's files …")
    assert host.call("/api/version") == (
        503,
        b"The app could not be loaded after a change; the terminal tells why.\n",
    )
    (tmp_path / "broken.json").touch()  # no Python: nothing happens
    _write(tmp_path, "mended")
    host.wait_for(LISTENING, count=2)
    assert host.call("/api/version")[1].startswith(b"mended ")
    (tmp_path / "host.json").write_text("{")
    host.wait_for("Waiting for the next change", count=2)
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(20) == 1
    assert host.process.stderr.read().count("error: ") == 2


def test_given_a_killed_parent_then_the_child_ends_and_a_new_host_works(
    tmp_path: Path, run_host: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    _write(tmp_path, "one")
    host = run_host(tmp_path)
    child = _child(host)
    host.process.kill()
    host.process.wait(20)
    again = run_host(tmp_path)  # at once, on the same state folder
    assert again.call("/api/version")[0] == 200
    eventually(lambda: _is_gone(child))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent by itself")
def test_given_a_child_stuck_outside_python_and_a_killed_parent_then_ends(
    tmp_path: Path, run_host: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    stuck = "import re; re.match('(a+)+$', 'a' * 60 + 'b')  # for years, and no other thread gets a turn"
    (tmp_path / "function_app.py").write_text(APP.replace("time.sleep(1)", stuck))
    host = run_host(tmp_path)
    child = _child(host)
    connection = http.client.HTTPConnection(host.url.removeprefix("http://"))
    connection.request("GET", "/api/slow")
    eventually((tmp_path / "begun").exists)
    host.process.kill()
    try:
        eventually(lambda: _is_gone(child), seconds=20)
    finally:
        connection.close()
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_given_a_child_that_dies_then_the_parent_dies_the_same_way(
    tmp_path: Path, run_host: Callable[..., Any], number: int
) -> None:
    _write(tmp_path, "one")
    host = run_host(tmp_path)
    os.kill(_child(host), number)
    assert host.process.wait(20) == -number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_given_a_running_function_when_stopped_then_it_ends_and_exit_0(
    tmp_path: Path, run_host: Callable[..., Any], number: int
) -> None:
    _write(tmp_path, "one")
    host = run_host(tmp_path)
    child = _child(host)
    outcome: list[tuple[int, bytes]] = []
    running = threading.Thread(target=lambda: outcome.append(host.call("/api/slow")))
    running.start()
    while not (tmp_path / "begun").exists():
        pass
    host.process.send_signal(number)
    assert host.process.wait(30) == 0
    running.join(30)
    assert outcome == [(200, b"whole")]
    assert _is_gone(child)
    assert "Stopping …" in host.output


def test_given_an_endless_function_when_stopped_twice_then_host_ends(
    tmp_path: Path, run_host: Callable[..., Any]
) -> None:
    (tmp_path / "function_app.py").write_text(APP.replace("time.sleep(1)", "time.sleep(600)"))
    host = run_host(tmp_path)
    child = _child(host)
    connection = http.client.HTTPConnection(host.url.removeprefix("http://"))
    connection.request("GET", "/api/slow")
    while not (tmp_path / "begun").exists():
        pass
    host.process.send_signal(signal.SIGINT)
    host.wait_for("Stopping …")
    host.process.send_signal(signal.SIGINT)
    assert host.process.wait(20) == 1
    assert _is_gone(child)
    connection.close()


def test_given_no_reload_when_files_change_then_nothing_happens(
    tmp_path: Path, run_host: Callable[..., Any]
) -> None:
    _write(tmp_path, "one")
    host = run_host(tmp_path, "--no-reload")
    assert _child(host) == host.process.pid  # nothing in between
    _write(tmp_path, "two")
    threading.Event().wait(1.5)
    assert host.call("/api/version")[1].startswith(b"one ")
    assert "restarting" not in host.output


def test_given_a_port_in_local_settings_when_none_is_named_then_it_is_used(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "local.settings.json").write_text(json.dumps({"Host": {"LocalHttpPort": port}}))
        command = [sys.executable, "-m", "devhost", "start", "--script-root", str(tmp_path)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: Port {port} is unavailable")
