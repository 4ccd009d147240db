"""The app on this machine until Ctrl-C, for development: `make start`.

Storage is Azurite, which keeps its data in the state's folder; exports go on where the last start ended.
No `exports.toml` is needed: locally any app with raw data may be exported.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from demo.raw_data import Apps, DataError, Export, in_container, raw_container, upload
from localdev.app import App, environment
from localdev.azurite import Azurite, Ports
from localdev.folder_lock import locked
from localdev.processes import ROOT, StartError, is_listening
from mobexport.blob_labels import README
from mobexport.config import load_config
from mobexport.config_check import check_all
from mobexport.errors import MobexportError
from mobexport.export_api.raw_check import check_raw_folder

STATE = ROOT / ".devhost"
# So that the README's first request finds something.
SAMPLE = "com.example.shop/events/2025-03-23/sample.ndjson"
SAMPLE_LINES = b"""\
{"deviceId":"4b1d1f6e-6f5b-4a9c-8f0e-2d5b9c7a1e01","name":"open","timestamp":"2025-03-23T10:00:00Z"}
{"deviceId":"4b1d1f6e-6f5b-4a9c-8f0e-2d5b9c7a1e01","name":"buy","timestamp":"2025-03-23T10:05:00Z","extras":{"sku":7}}
"""
AZURITE = "UseDevelopmentStorage=true"
USUAL = Ports(10000, 10001, 10002)
EXAMPLE = '{"exportType": "Event", "app": "APP", "startDate": "2025-03-22", "endDate": "2025-03-25"}'


def start(stack: ExitStack, state: Path, port: int, data: Path | None, host: str) -> App:
    """Start storage and app, and say what to try."""
    if is_listening(port):
        raise StartError(f"port {port} is taken: choose another, for example `make start PORT={port + 1}`")
    _check_config()
    stack.enter_context(locked(state))
    state.mkdir(parents=True, exist_ok=True)
    azurite = stack.enter_context(Azurite(state / "azurite.log", state / "azurite", _ports(state)))
    _keep(state, azurite.ports)
    if data:
        for line in _checked(data):
            print(line, flush=True)
        count = upload(data, azurite.connection_string, every_file=True)
        print(f"\n{count} files of {data} are in the container raw", flush=True)
    app = stack.enter_context(
        App(
            azurite,
            state,
            port,
            host=host,
            reload=True,
            POLL_FIRST_SECONDS=os.environ.get("POLL_FIRST_SECONDS", "0.5"),
            POLL_MAX_SECONDS=os.environ.get("POLL_MAX_SECONDS", "5"),
        )
    )
    with raw_container(azurite.connection_string) as container:
        if not any(name != README for name in container.list_blob_names()):
            container.upload_blob(SAMPLE, SAMPLE_LINES)
            print(f"raw was empty: there is a sample now, {SAMPLE}", flush=True)
        apps = in_container(container.list_blob_names())
    print("\n".join(_told(app, azurite, state, apps)), flush=True)
    return app


def _checked(data: Path) -> Iterator[str]:
    """The report of `mobexport raw check`: what exports would leave out is told before the first one."""
    if not data.is_dir():
        raise DataError(f"DATA={data} is not a folder")
    config = load_config(ROOT / "exports.toml", required=False)
    yield from check_raw_folder(data, config).lines()


def _check_config() -> None:
    """Raises StartError that names every problem: else the app would stay silent until its time is over."""
    environ = {**environment(AZURITE, {}), "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    # Whoever is offline may work all the same.
    problems, notes = check_all(environ, ROOT, look_up=False)
    for note in notes:
        print(f"note: {note}", flush=True)
    if problems:
        raise StartError("\n".join(["the configuration is wrong:", *(f"  {one}" for one in problems)]))


def _ports(state: Path) -> Ports | None:
    """Those of the last start, since URLs of running exports hold them; else the usual ones; else any."""
    file = state / "ports.json"
    if file.exists():
        last = Ports(**json.loads(file.read_text()))
        if taken := [port for port in last.all() if is_listening(port)]:
            raise StartError(
                f"port {taken[0]} is taken, which the storage in {state} used: is `make start` still running?"
                f" If something else has it, remove {file}"
            )
        return last
    return None if any(map(is_listening, USUAL.all())) else USUAL


def _keep(state: Path, ports: Ports) -> None:
    kept = {"blob": ports.blob, "queue": ports.queue, "table": ports.table}
    (state / "ports.json").write_text(json.dumps(kept) + "\n")


def _told(app: App, azurite: Azurite, state: Path, apps: Apps) -> Iterator[str]:
    yield f"\nThe app     {app.url}/api/exports    (health: {app.url}/api/health)"
    yield f"Its page    {app.url}/api/ui"
    yield f"Blobs       {azurite.blob_endpoint}"
    yield f"State, log  {state}, {app.log}\n"
    try:
        first = apps.exports()[0]
    except DataError:
        yield "There is no raw data yet. Put NDJSON files into the container raw, as"
        yield "{app}/{kind}/{YYYY-MM-DD}/{any name}.ndjson, or start with DATA=folder. Then:"
        body, export_id = EXAMPLE, "ID"
    else:
        body, export_id = _body(first), "ID"
        yield "Try:"
    yield f"  curl -s {app.url}/api/exports -H 'Content-Type: application/json' -d '{body}'"
    yield f"  curl -s {app.url}/api/exports/{export_id}    # the id is in the answer"
    port = app.url.rsplit(":", 1)[1]
    yield f"  make trace ID={export_id}" + ("" if port == "7071" else f" URL={app.url}")
    for schedule in app.get("/api/schedules")[1].get("schedules", ()):
        last = f"last day {schedule['lastDay']}" if schedule["lastDay"] else "no run yet"
        due = ", due: runs within five minutes" if schedule["dueDays"] else ""
        following = schedule["nextRunAt"] or schedule["error"]
        yield f"Schedule    {schedule['app']}: {last}; next run {following}{due}"
    yield "\nCtrl-C ends it; the next start goes on with the same state."


def _body(export: Export) -> str:
    return json.dumps(export.body())


def _terminated(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m localdev.start", description=__doc__)
    parser.add_argument("--port", type=int, default=7071)
    parser.add_argument("--data", type=Path, help="a folder {app}/{kind}/{YYYY-MM-DD}/*.ndjson")
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument("--host", choices=("devhost", "func"), default="devhost")
    chosen = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _terminated)
    try:
        with ExitStack() as stack:
            state = chosen.state.absolute()
            app = start(stack, state, chosen.port, chosen.data, chosen.host)
            while not app.ended():
                time.sleep(0.2)
            raise StartError(f"the app ended by itself; see {app.log}")
    except KeyboardInterrupt:
        print("\nended", flush=True)
        return 0
    except (DataError, StartError, MobexportError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
