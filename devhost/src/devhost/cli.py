"""Command line: options, signals, and everything a start needs before it loads the app."""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from devhost import azurite
from devhost.errors import HostError
from devhost.harsh import LOSSES, HarshPolicy
from devhost.ports import open_port
from devhost.settings import LocalSettings, apply_local_settings, check_runtime, read_local_settings
from devhost.state_folder import locked
from devhost.supervisor import Supervisor
from devhost.watch import Watch

DEFAULT_PORT = 7071


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port lies between 0 and 65535")
    return port


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m devhost", description="Run a function app on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="run the function app until Ctrl-C")
    start.add_argument(
        "--script-root", type=Path, default=Path(), help="folder of function_app.py (default: .)"
    )
    start.add_argument(
        "--port",
        type=_port,
        help="HTTP port (default: Host.LocalHttpPort of local.settings.json, else"
        f" {DEFAULT_PORT}; 0: any free one)",
    )
    start.add_argument(
        "--state", type=Path, help="folder of the state (default: .devhost in the script root)"
    )
    start.add_argument(
        "--reload",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="restart when a .py file or host.json changes (default: yes)",
    )
    start.add_argument(
        "--no-determinism-check",
        action="store_true",
        help="do not replay orchestrators in the background to find those that are not deterministic",
    )
    start.add_argument(
        "--harsh", action="store_true", help="do on purpose what production may do (docs/testing.md)"
    )
    start.add_argument(
        "--seed", type=int, help="the course of events of --harsh (default: a new one each time)"
    )
    start.add_argument(
        "--losses",
        action="store_true",
        help="with --harsh: also kill the worker process and lose messages now and then",
    )
    return parser


def _harsh(options: argparse.Namespace) -> HarshPolicy | None:
    if not options.harsh:
        return None
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else int(options.seed)
    return HarshPolicy(seed, LOSSES if options.losses else None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; exit code 0 after a signal, 1 when the host cannot start (standard error says why)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.harsh and (options.losses or options.seed is not None):
        parser.error(f"{'--losses' if options.losses else '--seed'} belongs to --harsh")
    root = options.script_root.resolve()
    state = options.state.resolve() if options.state else root / ".devhost"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the host has a handler of its own
    try:
        with ExitStack() as stack:
            return _start(stack, root, state, options)
    except HostError as error:
        return _failed(error)
    except KeyboardInterrupt:
        return 0


def _start(stack: ExitStack, root: Path, state: Path, options: argparse.Namespace) -> int:
    if not root.is_dir():
        raise HostError(f"there is no folder {root}")
    local = read_local_settings(root)
    environment = dict(os.environ)
    apply_local_settings(local, environment, lambda _text: None)
    check_runtime(environment)
    stack.enter_context(locked(state))
    ports = (options.port, local.port, DEFAULT_PORT)
    wanted = next(port for port in ports if port is not None)
    listener = stack.enter_context(open_port(wanted))
    if azurite.is_needed(environment):
        emulator = azurite.Azurite(azurite.find_command(root), state / "azurite")
        print("Starting Azurite (nothing listens on port 10000) …", flush=True)
        stack.callback(emulator.stop)
        emulator.start()

    harsh = _harsh(options)

    def serve() -> int:
        return _serve(root, state, listener, local, options, harsh)

    if not options.reload:
        code = serve()
        # Threads of user code that did not end in time must not hold the process.
        stack.close()
        sys.stdout.flush()
        os._exit(code)
    return Supervisor(serve, Watch(root, state), listener, lambda text: print(text, flush=True)).run()


def _serve(
    root: Path,
    state: Path,
    listener: socket.socket,
    local: LocalSettings,
    options: argparse.Namespace,
    harsh: HarshPolicy | None,
) -> int:
    """Run the host in this process."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        if stop.is_set():
            os._exit(1)  # asked twice: do not wait for what still runs, it starts again next time
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        from devhost.run import run

        return run(
            root,
            listener,
            state,
            local,
            stop,
            check_determinism=not options.no_determinism_check,
            harsh=harsh,
        )
    except HostError as error:
        return _failed(error)


def _failed(error: HostError) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
    return 1
