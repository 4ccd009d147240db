"""Run the app of a folder in this process, from its settings to its end."""

from __future__ import annotations

import logging
import os
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

from devhost import console
from devhost.durable.client_binding import client_binding_json
from devhost.harsh import HarshPolicy
from devhost.life import WORKER_LOST
from devhost.ports import HOST, RPC_BASE, open_port
from devhost.settings import LocalSettings, apply_local_settings, read_host_json
from devhost.version import VERSION
from devhost.worker.messages import Setup
from devhost.worker.process import WorkerProcess

_log = logging.getLogger("devhost")


def run(
    root: Path,
    listener: socket.socket,
    state: Path,
    local: LocalSettings,
    stop: threading.Event,
    *,
    check_determinism: bool = True,
    harsh: HarshPolicy | None = None,
) -> int:
    """Run the app of a folder until `stop` is set; gives the exit code. Raises HostError when it cannot."""
    with ExitStack() as stack:
        rpc = stack.enter_context(open_port(0))
        os.environ["WEBSITE_HOSTNAME"] = f"{HOST}:{listener.getsockname()[1]}"
        os.environ["AzureWebJobsScriptRoot"] = str(root)  # noqa: SIM112 - the name the SDK reads
        os.environ["AZURE_FUNCTIONS_ENVIRONMENT"] = "Development"
        console.say(f"Function Runtime Version: {VERSION}\n")
        apply_local_settings(local, os.environ, console.say)
        os.environ.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")
        settings = read_host_json(root, os.environ)
        console.set_up_logging(settings.log_levels)
        for note in settings.notes:
            _log.info("%s", note)
        os.chdir(root)
        origins = f"http://{HOST}:{listener.getsockname()[1]}", f"http://{HOST}:{rpc.getsockname()[1]}"
        client_json = client_binding_json(settings.hub, origins[0], origins[1] + RPC_BASE)
        worker = WorkerProcess(Setup(root, settings.log_levels, client_json), lost=stop.set)
        stack.callback(worker.stop)
        worker.start()
        # While the worker imports the app: what follows takes as long again.
        from devhost.building import build_host
        from devhost.functions import Functions
        from devhost.http_server import Server

        functions = Functions(worker.functions())
        if harsh is not None:
            worker.kills = harsh.kills_worker
            console.say(str(harsh))
        host = build_host(
            state, settings, functions, worker, origins, check_determinism=check_determinism, harsh=harsh
        )
        stack.callback(host.store.close)
        host.start(
            Server(listener, host.serve_public, "devhost-http"), Server(rpc, host.serve_rpc, "devhost-rpc")
        )
        stop.wait()
        console.say("Stopping …")
        host.stop()
    return WORKER_LOST if worker.is_lost else 0
