"""Shared by the tests of devhost: hosts as processes, storage on the emulator, waiting."""

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from emulator import emulator

from devhost.azurite import Azurite, find_command
from devhost.errors import HostError
from devhost.storage import Storage

ROOT = Path(__file__).parents[2]


class RunningHost:
    """`python -m devhost start` on a folder, on a free port; its output is read as it comes."""

    def __init__(self, folder: Path, *options: str, **settings: str) -> None:
        command = [sys.executable, "-m", "devhost", "start", "--script-root", str(folder), "--port", "0"]
        environment = {k: v for k, v in os.environ.items() if v != "UseDevelopmentStorage=true"}
        environment |= settings
        self.process = subprocess.Popen(
            [*command, *options],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self.wait_for(r"devhost is listening on (\S+)")[1]

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_for(self, pattern: str, count: int = 1, seconds: float = 90) -> re.Match[str]:
        """The nth match in the output."""
        until = time.monotonic() + seconds
        while True:
            found = list(re.finditer(pattern, self.output))
            if len(found) >= count:
                return found[count - 1]
            ended = self.process.poll() is not None and not self._reader.is_alive()
            if ended or time.monotonic() > until:
                assert self.process.stderr is not None
                told = self.process.stderr.read() if ended else ""
                raise AssertionError(f"no {pattern!r} in the output:\n{self.output}{told}")
            time.sleep(0.02)

    def call(
        self, path: str, body: Any = None, method: str | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Status and body; a body that is not bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json", **names}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        self._reader.join(20)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def run_host() -> Iterator[Callable[..., RunningHost]]:
    """Starts hosts, `run_host(folder, *options, **settings)`, and ends them all after the test."""
    started: list[RunningHost] = []

    def run(folder: Path, *options: str, **settings: str) -> RunningHost:
        started.append(RunningHost(folder, *options, **settings))
        return started[-1]

    yield run
    for host in started:
        host.close()


@pytest.fixture(scope="module")
def host_of() -> Iterator[Callable[..., RunningHost]]:
    """As `run_host`, for hosts that the tests of a module share."""
    started: list[RunningHost] = []

    def run(folder: Path, *options: str, **settings: str) -> RunningHost:
        started.append(RunningHost(folder, *options, **settings))
        return started[-1]

    yield run
    for host in started:
        host.close()


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """An Azurite of this test run's own (one per xdist worker), in memory, on free loopback ports."""
    try:
        find_command(ROOT)
    except HostError:
        pytest.skip("Azurite is not installed: run `make setup`")
    with emulator(tmp_path_factory.mktemp("azurite")) as running:
        yield running


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever uses the emulator; first, so that `-m "not azurite"` sees the mark."""
    for item in items:
        if "azurite" in getattr(item, "fixturenames", ()):
            item.add_marker("azurite")


@pytest.fixture
def storage(azurite: Azurite) -> Storage:
    """The emulator under the connection name DATA."""
    return Storage({"DATA": azurite.connection_string})


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Asks again and again until the answer is true, and gives it; some seconds at most."""

    def ask(check: Callable[[], Any], seconds: float = 90) -> Any:
        until = time.monotonic() + seconds
        while not (value := check()):
            assert time.monotonic() < until, "waited too long"
            time.sleep(0.05)
        return value

    return ask
