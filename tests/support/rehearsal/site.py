"""The deployed app's double over HTTP, for the smoke test: as well as the state of the cloud says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from json_server import serving_json

from mobexport.errors import MobexportError
from mobexport.standard_webhooks import call_content, check
from rehearsal.cloud import Cloud

_EXPORT: Final = {
    "id": "smoke",
    "attempt": 1,
    "state": "Succeeded",
    "phase": "done",
    "counts": {"records": 1, "rows": 1, "rejected": 0},
    "manifest": "m",
    "processingStartedBy": "blob trigger",
}


def answer(cloud: Cloud, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
    """Status and body: 503 until code, roles and secrets are there; keys and signatures are checked."""
    site = cloud.find("Microsoft.Web/sites")
    name = site["name"] if site else ""
    if not cloud.functions(name):
        return 503, {"checks": {"host": "no function is there"}}
    if path.startswith("/api/health"):
        open_ = [one for one, status in cloud.references(name).items() if status != "Resolved"]
        return (503, {"checks": {"secrets": ", ".join(open_)}}) if open_ else (200, {"status": "ok"})
    if path.startswith("/api/subscriptions"):
        return 401, {}
    if headers.get("x-functions-key") != "FUNCTION-KEY":
        return 401, {}
    if method == "POST":
        try:
            _check_signed(cloud, headers, call_content(method, path, body))
        except MobexportError as error:
            return 401, {"detail": error.message}
        return (202 if json.loads(body).get("rerun") else 200), _EXPORT
    heard = cloud.find("Microsoft.EventGrid/systemTopics/eventSubscriptions")
    return 200, {**_EXPORT, "processingStartedBy": "blob trigger" if heard else "run"}


def _check_signed(cloud: Cloud, headers: dict[str, str], content: bytes) -> None:
    for vault in cloud.data["secrets"].values():
        if secret := vault.get("REQUEST-SIGNING-SECRET"):
            check(secret, "REQUEST_SIGNING_SECRET", headers, content, time.time())


def serving(state: Callable[[], Cloud]) -> AbstractContextManager[str]:
    """The app on a free loopback port; its URL."""
    return serving_json(lambda *call: answer(state(), *call))
