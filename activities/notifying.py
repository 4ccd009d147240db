"""The activity that sends one notification to one target."""

from __future__ import annotations

from typing import Any

from durable import Blueprint

blueprint = Blueprint()


@blueprint.activity
def send_notification(step: dict[str, Any]) -> dict[str, Any]:
    """`{exportId, attempt, target, tried, of}` → `{state}`; the registry keeps every try."""
    from mobexport import app

    tries = step["tried"] + 1
    return app.deliverer().send(step["exportId"], step["attempt"], step["target"], tries=tries, of=step["of"])
