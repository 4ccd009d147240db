"""The command line of the local host."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from devhost.errors import HostError


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
    start.add_argument("--port", type=_port, default=7071, help="HTTP port (default: 7071; 0: any free one)")
    start.add_argument(
        "--state", type=Path, help="folder of the state (default: .devhost in the script root)"
    )
    start.add_argument(
        "--no-determinism-check",
        action="store_true",
        help="do not replay orchestrators in the background to find those that are not deterministic",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 after a signal, 1 when the host cannot start (one line on standard error says why)."""
    options = _parser().parse_args(arguments)
    root = options.script_root.resolve()
    state = options.state.resolve() if options.state else root / ".devhost"
    stop = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        if stop.is_set():
            os._exit(1)  # asked twice: do not wait for what still runs, it starts again next time
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        from devhost.host import run

        code = run(root, options.port, state, stop, check_determinism=not options.no_determinism_check)
    except HostError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        code = 1
    sys.stdout.flush()
    # Threads of user code that did not end in time must not hold the process.
    os._exit(code) if stop.is_set() else None
    return code
