"""What the user sees in the terminal: log lines, the list of functions, the lines around each run."""

from __future__ import annotations

import logging
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from devhost.indexing import Function

log = logging.getLogger("devhost")
_QUIET = ("azure", "aiohttp.access", "asyncio", "urllib3", "msal")
_TRIGGER_FIRST = "httpTrigger"


_running: ContextVar[str] = ContextVar("running", default="")
"""The function whose code runs here: its own log lines carry its name."""
_muted: ContextVar[bool] = ContextVar("muted", default=False)


@contextmanager
def muted() -> Iterator[None]:
    """What is logged here was logged before: an orchestrator is asked again, to check it."""
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


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        name = _running.get()
        who = f"{name}: " if name and record.name != log.name else ""
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return f"[{at}Z] {level}{who}{super().format(record)}"


def set_up_logging() -> None:
    """Everything from INFO on goes to standard output; chatty libraries only from WARNING on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Formatter("%(message)s"))
    handler.addFilter(lambda record: record.name == log.name or not _muted.get())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def say(text: str = "") -> None:
    print(text, flush=True)


def function_list(functions: Sequence[Function], origin: str, prefix: str) -> str:
    """The list `func start` prints: HTTP functions first, with methods and URL."""
    lines = ["Functions:", ""]
    for function in sorted(functions, key=lambda f: (f.trigger_type != _TRIGGER_FIRST, f.name.lower())):
        if function.trigger_type == _TRIGGER_FIRST:
            methods = f"[{','.join(function.methods)}] " if function.methods else ""
            path = "/".join(part for part in (prefix, function.route) if part)
            lines.append(f"\t{function.name}: {methods}{origin}/{path}")
        else:
            lines.append(f"\t{function.name}: {function.trigger_type}")
        lines.append("")
    return "\n".join(lines)


@contextmanager
def logged_run(function: Function, reason: str) -> Iterator[str]:
    """Writes the `Executing …` and `Executed …` lines; gives the invocation id.

    An exception is logged and passed on.
    """
    run_id = str(uuid.uuid4())
    began = time.monotonic()
    log.info("Executing 'Functions.%s' (Reason='%s', Id=%s)", function.name, reason, run_id)
    outcome = "Failed"
    try:
        with running(function.name):
            yield run_id
        outcome = "Succeeded"
    except Exception:
        log.exception("Functions.%s failed", function.name)
        raise
    finally:
        duration = int((time.monotonic() - began) * 1000)
        log.info(
            "Executed 'Functions.%s' (%s, Id=%s, Duration=%dms)", function.name, outcome, run_id, duration
        )
