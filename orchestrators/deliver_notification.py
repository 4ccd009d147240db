"""`deliver_notification`: one event to one target, tried for hours."""

from __future__ import annotations

from typing import Final

from durable import Blueprint, Context, Steps
from mobexport import durable_names as names
from mobexport.retry_policy import RetryPolicy
from orchestrators.steps import call

blueprint = Blueprint()

DELIVERY: Final = RetryPolicy(first=5, most=3600, attempts=15)
"""About five and a half hours in all."""


@blueprint.orchestrator
def deliver_notification(context: Context) -> Steps:
    """Input: `{version, exportId, attempt, target, trace?}`; the registry keeps what became of it."""
    given = context.get_input()
    return (yield from call(context, names.SEND_NOTIFICATION, {**given, "of": DELIVERY.attempts}, DELIVERY))
