"""Supported triggers and bindings; a function with any other is refused by name."""

from __future__ import annotations

from devhost.errors import SCRIPT_HOST, IndexingError
from devhost.worker.messages import Function

TRIGGERS = (
    "httpTrigger",
    "timerTrigger",
    "blobTrigger",
    "orchestrationTrigger",
    "activityTrigger",
)
CLIENT = "durableClient"
_WORDS = {
    "entityTrigger": "entity functions",
    "queueTrigger": "queue functions",
    "eventGridTrigger": "Event Grid functions",
}
"""Plain words for common triggers; others go by their own name."""


def check(function: Function) -> None:
    """Raises IndexingError for a trigger, another binding or a retry policy that devhost does not run."""
    kind = function.trigger_type
    if kind not in TRIGGERS:
        raise _refused(_WORDS.get(kind, f"functions with a {kind}"), function, f"runs {', '.join(TRIGGERS)}")
    for binding in function.bindings:
        if binding is function.trigger:
            continue
        name, kind = str(binding["name"]), str(binding["type"])
        is_out = str(binding.get("direction", "IN")).upper() == "OUT"
        if is_out and not (kind == "http" and name == "$return"):
            raise _refused(f"{kind} output bindings", function, "writes the HTTP response alone")
        if not is_out and kind != CLIENT:
            raise _refused(f"{kind} input bindings", function, f"gives a {CLIENT} alone")
    if function.retry_policy and function.trigger_type == "timerTrigger":
        raise _refused(
            "retry policies (@app.retry)", function, "runs a timer function once at each of its times"
        )


def _refused(what: str, function: Function, instead: str) -> IndexingError:
    return IndexingError(
        f"devhost does not run {what}: {function.name}. It {instead}; the other functions go on.", SCRIPT_HOST
    )
