"""Run the app of a folder in this process, from its settings to its end."""

from __future__ import annotations

import logging
import os
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

from devhost import console
from devhost.admin_api import VERSION
from devhost.building import build_host
from devhost.functions import Functions
from devhost.harsh import HarshPolicy
from devhost.http_server import Server
from devhost.indexing import load_functions
from devhost.ports import HOST, open_port
from devhost.settings import LocalSettings, apply_local_settings, read_host_json

_log = logging.getLogger("devhost")


def run(
    root: Path,
    listener: socket.socket,
    state: Path,
    local: LocalSettings,
    stop: threading.Event,
    *,
    check_determinism: bool = True,
    harsh_seed: int | None = None,
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
        functions = Functions(load_functions(root))
        harsh = None if harsh_seed is None else HarshPolicy(harsh_seed)
        if harsh is not None:
            console.say(
                f"Harsh mode, seed {harsh.seed} (--seed repeats it): activities run twice or die,"
                " timers are early, blob events are doubled, late or dropped."
            )
        origins = f"http://{HOST}:{listener.getsockname()[1]}", f"http://{HOST}:{rpc.getsockname()[1]}"
        host = build_host(
            root, state, settings, functions, origins, check_determinism=check_determinism, harsh=harsh
        )
        stack.callback(host.store.close)
        host.start(
            Server(listener, host.serve_public, "devhost-http"), Server(rpc, host.serve_rpc, "devhost-rpc")
        )
        stop.wait()
        console.say("Stopping …")
        host.stop()
    return 0
