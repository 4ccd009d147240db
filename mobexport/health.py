"""Whether this app can do its work: configuration, storage, and each half of the system.

Cached for a few seconds, so that the endpoint cannot be used as a hammer; answers within a bounded time,
whatever the other sides do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from mobexport.config import Endpoint, find_endpoint, get_config
from mobexport.errors import ConfigError, MobexportError, Unavailable
from mobexport.export_api.auth.authentication import check_serving
from mobexport.pipeline.jobs.export_api_client import ExportApiClient
from mobexport.redact import redact
from mobexport.settings import get_settings
from mobexport.storage import as_remote_error, get_storage
from mobexport.telemetry import exporting

_CACHE_SECONDS: Final = 10.0
_TIMEOUT: Final = (3.0, 5.0)
# A little longer than one call may take; what trickles in, or retries inside an SDK, is not waited for.
_API_SECONDS = 9.0
_ALL_SECONDS = 10.0
_STORAGE_SECONDS = 4.0

Check = Callable[[], Any]
_lock = threading.Lock()
_last: tuple[float, dict[str, Any]] | None = None
_going: dict[str, threading.Thread] = {}


def check_health(indexing: Check) -> dict[str, Any]:
    """`{"status": "ok" | "failing", "checks": {name: "ok" | what is wrong}}`; `indexing` raises if wrong.

    Whoever asks while a check is under way waits for it: there is never more than one.
    """
    global _last
    with _lock:
        if _last is None or time.monotonic() - _last[0] > _CACHE_SECONDS:
            found = _check(indexing)
            _last = time.monotonic(), found
        return _last[1]


def _check(indexing: Check) -> dict[str, Any]:
    results = _side_by_side(
        {
            "indexing": indexing,
            "settings": get_settings,
            "configuration": get_config,
            "storage": lambda: get_storage().ping(_STORAGE_SECONDS),
            "exportApi": _export_api,
            "telemetry": exporting.check,
        },
        _ALL_SECONDS,
    )
    good = all(result == "ok" for result in results.values())
    return {"status": "ok" if good else "failing", "checks": results}


def _export_api() -> None:
    settings, exports_config = get_settings(), get_config()
    if settings.role != "pipeline":
        check_serving(settings, exports_config)
    if settings.role == "export-api":
        return
    asked = {find_endpoint(exports_config, settings, app): app for app in exports_config.apps}
    checks = {
        f"{endpoint.url_setting} (app {app!r})": partial(_ask, endpoint, app)
        for endpoint, app in asked.items()
    }
    results = _side_by_side(checks, _API_SECONDS)
    failing = [f"{name}: {result}" for name, result in results.items() if result != "ok"]
    if failing:
        raise Unavailable("; ".join(failing))


def _ask(endpoint: Endpoint, app: str) -> None:
    settings = get_settings()
    if endpoint.url != settings.own_api_url:
        ExportApiClient(endpoint, timeout=_TIMEOUT).ping(app)
    elif settings.role == "pipeline":
        # Our own half answers by answering this very request, if it is there.
        raise ConfigError("ROLE is 'pipeline', so this app serves no Export API; set the URL of one")


def _side_by_side(checks: Mapping[str, Check], seconds: float) -> dict[str, str]:
    """The outcome of each check after at most so many seconds; one that hangs is not started again."""
    results: dict[str, str] = {}

    def run(name: str, check: Check) -> None:
        results[name] = _outcome(check)

    for name, check in checks.items():
        if name not in _going or not _going[name].is_alive():
            _going[name] = threading.Thread(target=run, args=(name, check), daemon=True)
            _going[name].start()
    deadline = time.monotonic() + seconds
    for name in checks:
        _going[name].join(max(0.0, deadline - time.monotonic()))
    return {name: results.get(name, f"no answer within {seconds:.0f} seconds") for name in checks}


def _outcome(check: Check) -> str:
    try:
        check()
    except Exception as error:  # noqa: BLE001 - whatever is wrong, health says it
        known = error if isinstance(error, MobexportError) else as_remote_error(error)
        if known is not None:
            return redact(known.message)
        return redact(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")[:300]
    return "ok"
