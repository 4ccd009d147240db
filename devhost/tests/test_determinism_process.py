"""The determinism check in the running host: real processes, the recorded probe app among them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

PROBE = Path(__file__).parent / "golden" / "apps" / "extras"
APP = """
import itertools, logging, random
import azure.durable_functions as df
app = df.DFApp()
numbers = itertools.count()

@app.orchestration_trigger(context_name="context")
def dice(context):
    logging.warning("rolling")
    yield context.call_activity("say", "first")
    yield context.call_activity("say", random.random())

@app.orchestration_trigger(context_name="context")
def sound(context):
    if not context.is_replaying:
        logging.warning("told once")
    yield context.call_activity("say", str(context.new_uuid()))
    return context.current_utc_datetime.isoformat()

@app.activity_trigger(input_name="x")
def say(x):
    return x
"""
Launch = Callable[..., tuple[subprocess.Popen[bytes], str]]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts a host over the app in `tmp_path`; gives the process and its address."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*options: str, **settings: str) -> tuple[subprocess.Popen[bytes], str]:
        command = [sys.executable, "-m", "devhost", "start", "--script-root", str(tmp_path), "--port", "0"]
        environment = {k: v for k, v in os.environ.items() if v != "UseDevelopmentStorage=true"}
        environment |= settings
        # A file: a pipe that nobody reads fills up, and the host waits.
        with (tmp_path / "host.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, *options], env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        started.append(process)
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            if found := re.search(r"devhost is listening on (\S+)\n", (tmp_path / "host.log").read_text()):
                return process, found[1]
            time.sleep(0.05)
        raise AssertionError((tmp_path / "host.log").read_text())

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(20)


def _post(url: str, body: bytes = b"") -> None:
    request = urllib.request.Request(
        url, data=body, method="POST", headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 202


def _status(base: str, instance_id: str) -> str:
    url = f"{base}/runtime/webhooks/durabletask/instances/{instance_id}"
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(json.loads(answer.read())["runtimeStatus"])


def _await_end(base: str, instance_id: str) -> None:
    until = time.monotonic() + 20
    while _status(base, instance_id) in ("Pending", "Running"):
        assert time.monotonic() < until
        time.sleep(0.05)


def _output(process: subprocess.Popen[bytes], folder: Path) -> str:
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0
    return (folder / "host.log").read_text()


def test_given_an_orchestrator_with_dice_then_the_host_names_it_once(tmp_path: Path, launch: Launch) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    process, base = launch()
    start = f"{base}/runtime/webhooks/durabletask/orchestrators"
    for name in ("dice", "sound"):
        for number in range(3):
            _post(f"{start}/{name}/{name}{number}")
    for name in ("dice", "sound"):
        for number in range(3):
            _await_end(base, f"{name}{number}")
    output = _output(process, tmp_path)
    told = [line for line in output.splitlines() if "is not deterministic" in line]
    assert len(told) == 1
    assert "error: orchestrator 'dice' is not deterministic and would break in production: step 2" in told[0]
    # The replays of the check do not repeat what the orchestrators log.
    assert output.count("told once") == 3
    assert output.count("rolling") == 9


def test_given_the_switch_when_the_host_runs_it_then_nothing_is_checked(
    tmp_path: Path, launch: Launch
) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    process, base = launch("--no-determinism-check")
    _post(f"{base}/runtime/webhooks/durabletask/orchestrators/dice/d")
    _await_end(base, "d")
    assert "is not deterministic" not in _output(process, tmp_path)


ORCHESTRATORS = {
    "chain": None,
    "timers": None,
    "retrying": None,
    "retry_exhausted": None,
    "failing": None,
    "throws": None,
    "fan": None,
    "eternal": None,
    "parent": None,
    "weirds": None,
    "bigio": "text",
    "past_timer": None,
    "any_nocancel": None,
    "any_loser": None,
    "failfast": None,
    "retry_fan": None,
    "retry_exhausted3": None,
    "hazard1": None,
    "nongen": None,
    "nongen_raise": None,
    "first_raise": None,
    "badout": None,
    "times": None,
    "sleeper": {"s": 1},
    "once_bad": None,
}
WAITING = {
    "race": [("approve", True)],
    "can_events": [("E", 1), ("E", 2), ("E", 3)],
    "early_event": [("E", 1), ("E", 2)],
    "case_event": [("myevent", 1), ("MyEvent", 2)],
    "cs": [("next", n) for n in range(5)],
    "any_nocancel": [("go", 1)],
    "long_timer": [],
    "unknown_activity": [],
    "unknown_sub": [],
    "sub_wait": [],
}


@pytest.mark.slow
def test_given_the_recorded_probe_app_then_only_its_hazard_is_found(tmp_path: Path, launch: Launch) -> None:
    shutil.copytree(PROBE, tmp_path, dirs_exist_ok=True)
    process, base = launch(TICK="0 0 0 1 1 *", TICK2="0 0 0 1 1 *", PROBE_DIR=str(tmp_path))
    api = f"{base}/runtime/webhooks/durabletask"
    for name, given in ORCHESTRATORS.items():
        body = b"" if given is None else json.dumps(json.dumps(given)).encode()
        _post(f"{api}/orchestrators/{name}/x-{name}", body)
    # Whether it does harm depends on which of its two activities fails first, so that once is not enough.
    hazards = [f"h{number}" for number in range(12)]
    for instance_id in hazards:
        _post(f"{api}/orchestrators/hazard1/{instance_id}")
    for name in WAITING:
        _post(f"{api}/orchestrators/{name}/w-{name}")
    for name, events in WAITING.items():
        for event, value in events:
            time.sleep(0.05)
            _post(f"{api}/instances/w-{name}/raiseEvent/{event}", json.dumps(value).encode())
    _post(f"{api}/instances/w-long_timer/suspend?reason=later")
    _post(f"{api}/instances/w-unknown_sub/terminate?reason=enough")
    for instance_id in [*hazards, *(f"x-{name}" for name in ORCHESTRATORS)]:
        _await_end(base, instance_id)
    told = {
        line.partition("error: ")[2]
        for line in _output(process, tmp_path).splitlines()
        if "in production" in line
    }
    assert {text.partition(" is not")[0] for text in told} == {"orchestrator 'hazard1'"}
