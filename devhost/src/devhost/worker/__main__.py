"""`python -m devhost.worker DESCRIPTOR`: the worker process, started by the host with its end of a pipe."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection

from devhost import console
from devhost.errors import AppError
from devhost.life import end_with_parent
from devhost.worker.indexing import load_functions
from devhost.worker.messages import Answer, Failure, Indexed, Refused, Setup
from devhost.worker.runner import Runner


def main(descriptor: int) -> None:
    """Serve the host until it is gone; does not return."""
    # Ctrl-C goes to every process of the terminal; when to end is the host's to say. No SIG_IGN: programs
    # that a function starts would inherit it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    end_with_parent()
    code = 0
    try:
        _serve(Connection(descriptor))
    except (EOFError, OSError):
        pass  # the host has waited for what ran, or is dead
    except BaseException:
        traceback.print_exc()
        code = 1
    os._exit(code)  # threads of functions must not hold the process


def _serve(pipe: Connection) -> None:
    setup: Setup = pipe.recv()
    console.set_up_logging(setup.log_levels)
    try:
        functions = load_functions(setup.root)
    except AppError as error:
        pipe.send(Refused(str(error)))
        return
    sending = threading.Lock()

    def send(told: Answer | Failure) -> None:
        with sending:
            pipe.send(told)

    runner = Runner(setup, functions, send)
    pipe.send(Indexed(tuple(function.declared for function in functions)))
    while True:
        runner.begin(*pipe.recv())


if __name__ == "__main__":
    main(int(sys.argv[1]))
