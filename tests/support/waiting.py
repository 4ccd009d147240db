"""Waiting for what a running app does in its own time."""

import time
from collections.abc import Callable
from typing import Any

from localdev.app import App


def until(app: App, found: Callable[[], Any], seconds: float = 40) -> Any:
    """The first answer that says yes; fails with the end of the app's log after so long."""
    return _wait(found, seconds, 0.2, lambda: f": {app.log.read_text()[-3000:]}")


def wait_for(found: Callable[[], Any], seconds: float = 10) -> Any:
    """The first answer that says yes, of what goes on in another thread; fails after so long."""
    return _wait(found, seconds, 0.01, lambda: "")


def _wait(found: Callable[[], Any], seconds: float, pause: float, why: Callable[[], str]) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(pause)
    raise AssertionError(f"nothing after {seconds:g} s{why()}")
