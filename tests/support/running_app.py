"""What tests of a running app, and benches, share: its paths, its instances, a clock that is ahead."""

from localdev.app import App

TASKS = (
    "/api/subscriptions/s/resourceGroups/r/providers/Microsoft.MobileEngagement/appcollections/a"
    "/apps/{app}/devices/exportTasks"
)
"""Path of an app's export tasks."""

SHIFTED = """
import datetime, os
from mobexport import clock
real = clock.now
clock.now = lambda: real() + datetime.timedelta(days=float(os.environ.get("SHIFT_DAYS", "0")))
"""
"""`sitecustomize.py` of the app's process: its own clock is days ahead, the host's is not."""


def instance(app: App, name: str) -> str | None:
    """State of an orchestration; None if there is none."""
    status, found = app.get(f"/runtime/webhooks/durabletask/instances/{name}")
    return None if status == 404 else str(found["runtimeStatus"])
