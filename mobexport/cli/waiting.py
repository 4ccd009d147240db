"""Wait for an export or a batch of a running app, and judge how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from mobexport.cli.app_api import AppApi
from mobexport.cli.exits import Exit
from mobexport.cli.output import spinner
from mobexport.errors import Transient

FIRST_SECONDS: Final = 0.5
MOST_SECONDS: Final = 15.0
PATIENCE_SECONDS: Final = 300.0
"""How long an app may be away while somebody waits: a new version restarts it."""
_GOOD: Final = frozenset({"Succeeded", "Empty", "Delivered"})


def has_ended(found: Mapping[str, Any]) -> bool:
    """Whether an export or a batch has ended."""
    return bool(found["phase"] == "done" if "phase" in found else found["state"] != "Running")


def end_of(found: Mapping[str, Any]) -> Exit:
    """The exit code for an export or a batch: while it goes on all is well."""
    return Exit.OK if not has_ended(found) or found["state"] in _GOOD else Exit.BAD_RESULT


def changes(
    api: AppApi,
    found: dict[str, Any],
    timeout: float | None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[dict[str, Any]]:
    """`found` and each later state, until it has ended or `timeout` seconds have passed.

    Raises Transient if the app is away for longer than PATIENCE_SECONDS.
    """
    began = seen = clock()
    pause, shown = FIRST_SECONDS, None
    with spinner(describe(found)) as show:
        while True:
            if (now := _progress(found)) != shown:
                shown, pause = now, FIRST_SECONDS
                show(describe(found))
                yield found
            if has_ended(found):
                return
            left = None if timeout is None else timeout - (clock() - began)
            if left is not None and left <= 0:
                return
            sleep(pause if left is None else min(pause, left))
            pause = min(pause * 1.5, MOST_SECONDS)
            try:
                found = api.get(found["id"])
                seen = clock()
            except Transient:
                if clock() - seen > PATIENCE_SECONDS:
                    raise


def wait(api: AppApi, found: dict[str, Any], timeout: float | None) -> tuple[dict[str, Any], Exit]:
    """The export or batch as it ended, or as it is when the time is up; and the exit code."""
    last = found
    for last in changes(api, found, timeout):  # noqa: B007 - the last one counts
        pass
    return last, end_of(last) if has_ended(last) else Exit.STILL_RUNNING


def describe(found: Mapping[str, Any]) -> str:
    """One line about an export or a batch."""
    if "exports" in found:
        counts = ", ".join(f"{number} {state}" for state, number in found["counts"].items())
        return f"{found['id']}  {found['state']}  {counts}"
    known = {name: value for name, value in (found["counts"] or {}).items() if value is not None}
    numbers = [f"{known[name]:,} {name}" for name in ("records", "rows", "rejected") if name in known]
    return "  ".join([found["id"], f"attempt {found['attempt']}", found["state"], *numbers])


def _progress(found: Mapping[str, Any]) -> Any:
    return (found["state"], found.get("attempt"), found["counts"])
