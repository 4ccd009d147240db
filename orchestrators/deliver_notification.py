"""`deliver_notification`: one event to one target, tried for hours."""

from __future__ import annotations

from typing import Final

from durable_app.blueprint import Blueprint
from durable_app.calls import call
from durable_app.sdk import Context, Steps
from mobexport import durable_names as names
from mobexport.pipeline.messages import DeliverNotification, SendNotification
from mobexport.retry_policy import RetryPolicy

blueprint = Blueprint()

DELIVERY: Final = RetryPolicy(first=5, most=3600, attempts=15)
"""About five and a half hours in all."""


@blueprint.orchestrator(DeliverNotification)
def deliver_notification(context: Context, given: DeliverNotification) -> Steps:
    """Returns the last Outcome; the registry keeps the state of the delivery."""
    step = SendNotification(
        export_id=given.export_id, attempt=given.attempt, target=given.target, attempts=DELIVERY.attempts
    )
    return (yield from call(context, names.SEND_NOTIFICATION, step, DELIVERY))
