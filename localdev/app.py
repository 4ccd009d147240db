"""The running app for the demo and `make start`: on the local host, or on `func` if installed."""

import os
import re
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import requests

from localdev.azurite import Azurite
from localdev.processes import LOOPBACK, ROOT, Process, StartError, tail, wait_until

START_SECONDS = 60


class App:
    """One running app; it can be killed and started again on the same port and state."""

    def __init__(
        self,
        azurite: Azurite,
        state: Path,
        port: int,
        *,
        host: str,
        reload: bool = False,
        options: tuple[str, ...] = (),
        **settings: str,
    ) -> None:
        self.url = f"http://{LOOPBACK}:{port}"
        self.log = state / "app.log"
        self._command = [*_command(host, state, port, reload), *options]
        self._env = environment(azurite.connection_string, settings)
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy has no business between us and this machine
        self._process = self._start()

    @property
    def pid(self) -> int:
        """The host's process."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ended(self) -> bool:
        """Whether the host is gone."""
        return self._process.ended()

    def stop(self) -> None:
        """Ask the host to end, and see to it."""
        self._process.stop()

    def kill(self) -> None:
        """`kill -9`: no goodbye, no flush."""
        self._process.kill()

    def kill_worker(self) -> None:
        """`kill -9` of the process that runs the functions; on the local host only."""
        started = re.findall(
            r"Worker process started and initialized \(process (\d+)\)",
            self.log.read_text("utf-8", "replace"),
        )
        with suppress(ProcessLookupError):
            os.kill(int(started[-1]), signal.SIGKILL)

    def restart(self) -> None:
        """Start it again where the last one stopped."""
        self._process.stop()
        self._process = self._start()

    def post(self, path: str, body: Mapping[str, object]) -> tuple[int, Any]:
        """Status and JSON answer of a POST."""
        answer = self._session.post(self.url + path, json=body, timeout=30)
        return answer.status_code, _json(answer)

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON answer of a GET."""
        answer = self._session.get(self.url + path, timeout=30)
        return answer.status_code, _json(answer)

    def _start(self) -> Process:
        process = Process(self._command, self.log, self._env)
        try:
            wait_until(self._healthy, process, "the app", START_SECONDS)
        except BaseException:
            process.stop()
            raise
        return process

    def _healthy(self) -> bool:
        try:
            return self.get("/api/health")[0] == 200
        except requests.RequestException:
            return False


def environment(connection: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of the host: ours, the app settings, and this virtual environment first."""
    binaries = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": os.pathsep.join((binaries, os.environ.get("PATH", ""))),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": f"{LOOPBACK},localhost",
        "no_proxy": f"{LOOPBACK},localhost",
        "AzureWebJobsStorage": connection,
        "DATA_STORAGE": connection,
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "EXPORT_API_AUTH": "none",
        **settings,
    }


def log_tail(state: Path) -> str:
    """The end of the app's log, for a message."""
    return tail(state / "app.log", 30)


def _command(host: str, state: Path, port: int, reload: bool) -> list[str]:
    if host == "func":
        found = shutil.which("func")
        if found is None:
            raise StartError(
                "HOST=func needs Azure Functions Core Tools, and there is no `func` on the PATH;"
                " without HOST the project's own local host runs the app"
            )
        return [found, "start", "--script-root", str(ROOT), "--port", str(port)]
    own = [sys.executable, "-m", "devhost", "start", "--script-root", str(ROOT)]
    return [*own, "--port", str(port), "--state", str(state / "host"), *([] if reload else ["--no-reload"])]


def _json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return {"text": answer.text[:500]}
