"""Waiting for what a running app does in its own time."""

import time
from collections.abc import Callable
from typing import Any

from localdev.app import App


def until(app: App, found: Callable[[], Any], seconds: float = 40) -> Any:
    """The first answer that says yes; fails with the end of the app's log after so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.2)
    raise AssertionError(f"nothing after {seconds:g} s: {app.log.read_text()[-3000:]}")


def wait_for(found: Callable[[], Any], seconds: float = 10) -> Any:
    """The first answer that says yes, of what goes on in another thread; fails after so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.01)
    raise AssertionError(f"nothing after {seconds:g} s")
