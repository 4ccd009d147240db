"""Terminal output: log lines, the list of functions, the lines around each run."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

from devhost.settings import LogLevels
from devhost.worker.messages import Function

log = logging.getLogger("devhost")
_PRINTS = "Host.Function.Console"
_QUIET = ("azure", "aiohttp.access", "asyncio", "urllib3", "msal")
_TRIGGER_FIRST = "httpTrigger"


_running: ContextVar[str] = ContextVar("running", default="")
"""Name of the function whose code runs in this context, for its log lines."""
_muted: ContextVar[bool] = ContextVar("muted", default=False)


@contextmanager
def muted() -> Iterator[None]:
    """Drop log lines: the determinism check replays orchestrators whose lines were shown before."""
    token = _muted.set(True)
    try:
        yield
    finally:
        _muted.reset(token)


@contextmanager
def running(function: str) -> Iterator[None]:
    token = _running.set(function)
    try:
        yield
    finally:
        _running.reset(token)


def _category(record: logging.LogRecord) -> str:
    """Category for `logging.logLevel` of host.json, named as on the real host."""
    function = _running.get()
    if record.name == _PRINTS:
        return _PRINTS
    if record.name == log.name:
        return f"Function.{function}" if function else "Host"
    return f"Function.{function}.User" if function else record.name


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        name = _running.get()
        who = f"{name}: " if name and record.name != log.name else ""
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return f"[{at}Z] {level}{who}{super().format(record)}"


class _Prints(io.TextIOBase):
    """Replacement for standard output: lines printed by functions become log lines, as in the worker."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._lines = threading.local()
        self._log = logging.getLogger(_PRINTS)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._terminal.encoding

    def fileno(self) -> int:
        return self._terminal.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        begun = getattr(self._lines, "begun", "") + text
        *lines, self._lines.begun = begun.split("\n")
        for line in lines:
            self._log.info("%s", line)
        return len(text)


def set_up_logging(levels: LogLevels) -> None:
    """Log from INFO on, or as host.json says; chatty libraries from WARNING on."""
    terminal = sys.__stdout__ or sys.stdout
    handler = logging.StreamHandler(terminal)
    handler.setFormatter(_Formatter("%(message)s"))
    handler.addFilter(lambda record: record.name == log.name or not _muted.get())
    handler.addFilter(lambda record: record.levelno >= levels.of(_category(record)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # The worker drops what is below INFO before the host sees it, unless this setting is there.
    debug = os.environ.get("PYTHON_ENABLE_DEBUG_LOGGING", "").lower() in ("1", "true")
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.stdout = _Prints(terminal)


def say(text: str = "") -> None:
    """Print a line of the host's own, past the replacement of standard output."""
    print(text, file=sys.__stdout__, flush=True)


def function_list(functions: Sequence[Function], disabled: Sequence[str], origin: str, prefix: str) -> str:
    """The list `func start` prints: HTTP functions first, with methods and URL; then the disabled ones."""
    lines = ["", "Functions:", ""] if functions else []
    for function in sorted(functions, key=lambda f: (f.trigger_type != _TRIGGER_FIRST, f.name.lower())):
        if function.trigger_type == _TRIGGER_FIRST:
            methods = f"[{','.join(function.methods)}]" if function.methods else ""
            path = "/".join(part for part in (prefix, function.route) if part)
            lines.append(f"\t{function.name}: {methods} {origin}/{path}")
        else:
            lines.append(f"\t{function.name}: {function.trigger_type}")
        lines.append("")
    lines += [f"Function {name} is disabled." for name in disabled]
    return "\n".join(lines)


@contextmanager
def logged_run(function: Function, reason: str, details: Mapping[str, str] | None = None) -> Iterator[str]:
    """Write the `Executing …` and `Executed …` lines around a run; gives the invocation id.

    An exception is logged and passed on.
    """
    run_id = str(uuid.uuid4())
    began = time.monotonic()
    with running(function.name):
        log.info("Executing 'Functions.%s' (Reason='%s', Id=%s)", function.name, reason, run_id)
        if details:
            log.info("Trigger Details: %s", ", ".join(f"{key}: {value}" for key, value in details.items()))
        text = "Executed 'Functions.%s' (%s, Id=%s, Duration=%dms)"
        try:
            yield run_id
        except BaseException as error:
            milliseconds = int((time.monotonic() - began) * 1000)
            told = getattr(error, "trace", "") or "".join(traceback.format_exception_only(error))
            log.error(text + "\n%s", function.name, "Failed", run_id, milliseconds, told.rstrip())
            raise
        log.info(text, function.name, "Succeeded", run_id, int((time.monotonic() - began) * 1000))
