"""Whether this app can do its work: configuration, storage, and each half of the system.

Cached for a few seconds, so that the endpoint cannot be used as a hammer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from mobexport.config import get_config
from mobexport.errors import MobexportError
from mobexport.export_api.authentication import check_serving
from mobexport.redact import redact
from mobexport.settings import get_settings
from mobexport.storage import EXPORTS_TABLE, get_storage

_CACHE_SECONDS = 10.0
_lock = threading.Lock()
_last: tuple[float, dict[str, Any]] | None = None


def check_health() -> dict[str, Any]:
    """`{"status": "ok" | "failing", "checks": {name: "ok" | what is wrong}}`."""
    global _last
    with _lock:
        if _last is None or time.monotonic() - _last[0] > _CACHE_SECONDS:
            _last = time.monotonic(), _check()
        return _last[1]


def _check() -> dict[str, Any]:
    checks: dict[str, Callable[[], Any]] = {
        "settings": get_settings,
        "configuration": get_config,
        "storage": lambda: get_storage().table(EXPORTS_TABLE),
        "exportApi": _export_api,
    }
    results = {name: _outcome(check) for name, check in checks.items()}
    good = all(result == "ok" for result in results.values())
    return {"status": "ok" if good else "failing", "checks": results}


def _export_api() -> None:
    settings = get_settings()
    if settings.role != "pipeline":
        check_serving(settings, get_config())


def _outcome(check: Callable[[], Any]) -> str:
    try:
        check()
    except MobexportError as error:
        return redact(error.message)
    except Exception as error:  # noqa: BLE001 - whatever is wrong, health says it
        return redact(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")[:300]
    return "ok"
