"""Send a test event to a notification target, on somebody's wish."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from mobexport.clock import stamp
from mobexport.config import ExportsConfig
from mobexport.errors import MobexportError, NotFound
from mobexport.redact import redact
from mobexport.storage import known_error


def make_test_event(target: str) -> dict[str, Any]:
    """A CloudEvents 1.0 object of a type that no export sends; each has an id of its own."""
    return {
        "specversion": "1.0",
        "id": f"test/{uuid.uuid4().hex}",
        "source": "/targets",
        "type": "mobexport.target.test",
        "subject": target,
        "time": stamp(),
        "datacontenttype": "application/json",
        "data": {"target": target},
    }


def try_target(
    config: ExportsConfig, name: str, post: Callable[[str, Mapping[str, Any]], None]
) -> dict[str, Any]:
    """One try to deliver a test event by `post`: `{target, eventId, delivered, error}`. Raises NotFound."""
    if name not in config.targets:
        known = ", ".join(sorted(config.targets)) or "none"
        raise NotFound(f"there is no target {name[:64]!r} in exports.toml; there are: {known}")
    event = make_test_event(name)
    error: MobexportError | None = None
    try:
        post(name, event)
    except Exception as raised:
        error = known_error(raised)
        if error is None:
            raise
    told = {"code": error.own_code, "message": redact(error.message)} if error else None
    return {"target": name, "eventId": event["id"], "delivered": error is None, "error": told}
