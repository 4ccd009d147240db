"""Health of this app: configuration, storage, and each half of the system.

Results are cached for a few seconds, so that calls of the endpoint cannot flood the services behind it, and
come within a bounded time, whatever those services do.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from mobexport import services
from mobexport.config import Endpoint, ExportsConfig, find_endpoint
from mobexport.config_check import secret_problems
from mobexport.errors import ConfigError, Unavailable
from mobexport.export_api.auth.authentication import check_serving
from mobexport.pipeline.jobs.export_api_client import ExportApiClient
from mobexport.redact import redact
from mobexport.settings import Settings
from mobexport.storage import DataStorage, known_error
from mobexport.telemetry import exporting

_TIMEOUT: Final = (3.0, 5.0)
# A little longer than one call may take; what trickles in, or retries inside an SDK, is not waited for.
_API_SECONDS = 9.0
_STORAGE_SECONDS = 4.0

Check = Callable[[], Any]


class Health:
    """The checks of one process; each raises an error if something is wrong."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        seconds: float = 10.0,
        cached: float = 10.0,
        notes: Callable[[], list[str]] = list,
    ) -> None:
        self._checks = checks
        self._notes = notes
        self._seconds = seconds
        self._cached = cached
        self._lock = threading.Lock()
        self._last: tuple[float, dict[str, Any]] | None = None
        self._going: dict[str, threading.Thread] = {}

    def check(self) -> dict[str, Any]:
        """`{"status": "ok" | "failing", "checks": {name: "ok" | what is wrong}}`, and `notes` if there are.

        Whoever asks while a check is under way waits for it: there is never more than one.
        """
        with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > self._cached:
                results = side_by_side(self._checks, self._seconds, self._going)
                good = all(result == "ok" for result in results.values())
                self._last = (
                    time.monotonic(),
                    {
                        "status": "ok" if good else "failing",
                        "checks": results,
                        **({"notes": notes} if (notes := self._notes()) else {}),
                    },
                )
            return self._last[1]


def app_checks() -> dict[str, Check]:
    """One check for each thing this app needs, so that one failure does not hide another."""
    return {
        "settings": services.get_settings,
        "configuration": services.get_config,
        "storage": lambda: check_storage(services.get_storage()),
        "secrets": lambda: check_secrets(services.get_config(), os.environ),
        "exportApi": lambda: check_export_api(services.get_settings(), services.get_config()),
        "telemetry": exporting.check,
    }


def check_storage(storage: DataStorage) -> None:
    """Asks whether blobs and tables can be read and written. Raises what is wrong with them."""
    storage.ping(_STORAGE_SECONDS)
    storage.ping_writes(_STORAGE_SECONDS)


def check_secrets(exports_config: ExportsConfig, environ: Mapping[str, str]) -> None:
    """Raises ConfigError for secrets that are missing, not read from the vault, or none by their form."""
    if found := secret_problems(exports_config, environ):
        raise ConfigError.of(found)


def check_export_api(settings: Settings, exports_config: ExportsConfig) -> None:
    """Checks the half that serves, and the Export APIs that the pipeline calls. Raises if one fails."""
    if settings.role != "pipeline":
        check_serving(settings, exports_config)
    if settings.role == "export-api":
        return
    asked = {find_endpoint(exports_config, settings, app): app for app in exports_config.apps}
    checks = {
        f"{endpoint.url_setting} (app {app!r})": partial(_ask, settings, endpoint, app)
        for endpoint, app in asked.items()
    }
    results = side_by_side(checks, _API_SECONDS, {})
    failing = [f"{name}: {result}" for name, result in results.items() if result != "ok"]
    if failing:
        raise Unavailable("; ".join(failing))


def _ask(settings: Settings, endpoint: Endpoint, app: str) -> None:
    if endpoint.url != settings.own_api_url:
        ExportApiClient(endpoint, timeout=_TIMEOUT, seconds=sum(_TIMEOUT)).ping(app)
    elif settings.role == "pipeline":
        # Our own half answers by answering this very request, if it is there.
        raise ConfigError("ROLE is 'pipeline', so this app serves no Export API; set the URL of one")


def side_by_side(
    checks: Mapping[str, Check], seconds: float, going: dict[str, threading.Thread]
) -> dict[str, str]:
    """The outcome of each check after at most `seconds`; a check still `going` is not begun again."""
    results: dict[str, str] = {}

    def run(name: str, check: Check) -> None:
        results[name] = _outcome(check)

    for name, check in checks.items():
        if name not in going or not going[name].is_alive():
            going[name] = threading.Thread(target=run, args=(name, check), daemon=True)
            going[name].start()
    deadline = time.monotonic() + seconds
    for name in checks:
        going[name].join(max(0.0, deadline - time.monotonic()))
    return {name: results.get(name, f"no answer within {seconds:.0f} seconds") for name in checks}


def _outcome(check: Check) -> str:
    try:
        check()
    except Exception as error:  # noqa: BLE001 - whatever is wrong, health says it
        known = known_error(error)
        if known is not None:
            return redact(known.message)
        return redact(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")[:300]
    return "ok"
