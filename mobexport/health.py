"""Whether this app can do its work: configuration, storage, and each half of the system.

Cached for a few seconds, so that the endpoint cannot be used as a hammer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from mobexport.config import find_endpoint, get_config
from mobexport.errors import MobexportError
from mobexport.export_api.authentication import check_serving
from mobexport.pipeline.export_api_client import ExportApiClient
from mobexport.redact import redact
from mobexport.settings import get_settings
from mobexport.storage import EXPORTS_TABLE, get_storage
from mobexport.telemetry import exporting

_CACHE_SECONDS = 10.0
_TIMEOUT = (3.0, 5.0)
_lock = threading.Lock()
_last: tuple[float, dict[str, Any]] | None = None


def check_health(indexing: Callable[[], Any]) -> dict[str, Any]:
    """`{"status": "ok" | "failing", "checks": {name: "ok" | what is wrong}}`; `indexing` raises if wrong.

    Whoever asks while a check is under way waits for it: there is never more than one.
    """
    global _last
    with _lock:
        if _last is None or time.monotonic() - _last[0] > _CACHE_SECONDS:
            _last = time.monotonic(), _check(indexing)
        return _last[1]


def _check(indexing: Callable[[], Any]) -> dict[str, Any]:
    checks: dict[str, Callable[[], Any]] = {
        "indexing": indexing,
        "settings": get_settings,
        "configuration": get_config,
        "storage": lambda: get_storage().table(EXPORTS_TABLE),
        "exportApi": _export_api,
        "telemetry": exporting.check,
    }
    results = {name: _outcome(check) for name, check in checks.items()}
    good = all(result == "ok" for result in results.values())
    return {"status": "ok" if good else "failing", "checks": results}


def _export_api() -> None:
    settings, exports_config = get_settings(), get_config()
    if settings.role != "pipeline":
        check_serving(settings, exports_config)
    if settings.role == "export-api":
        return
    # Our own half answers by answering this very request; any other is asked for the newest task of an app.
    asked = {find_endpoint(exports_config, settings, app): app for app in exports_config.apps}
    for endpoint, app in asked.items():
        if endpoint.url != settings.own_api_url:
            ExportApiClient(endpoint, timeout=_TIMEOUT).ping(app)


def _outcome(check: Callable[[], Any]) -> str:
    try:
        check()
    except MobexportError as error:
        return redact(error.message)
    except Exception as error:  # noqa: BLE001 - whatever is wrong, health says it
        return redact(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")[:300]
    return "ok"
