"""Send one notification to one target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durable_app.blueprint import Blueprint
from mobexport.pipeline.messages import SendNotification

if TYPE_CHECKING:
    from mobexport.services import Services

blueprint = Blueprint()


@blueprint.activity(SendNotification)
def send_notification(services: Services, step: SendNotification) -> dict[str, Any]:
    """`{state}`; the registry keeps every try."""
    return services.deliverer.send(step.ref, step.target, tries=step.tried + 1, attempts=step.attempts)
