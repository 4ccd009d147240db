"""What rewinding does to the history of a failed orchestration: failures give way to placeholders.

Source: RewindHistoryAsync of DurableTask.AzureStorage, and a recorded rewind.
"""

from __future__ import annotations

from collections.abc import Sequence

from devhost.durable.history import Event, Kind, generic


def rewound(history: Sequence[Event]) -> tuple[list[Event], list[str]]:
    """The history with its failures blanked, and the ids of the sub-orchestrations that failed.

    Positions stay, and so do the events that created those children: they are rewound in their turn, and
    their next result resolves the parent's task.
    """
    tasks = {e["TaskScheduledId"] for e in history if e["EventType"] == Kind.TASK_FAILED}
    children = {e["TaskScheduledId"] for e in history if e["EventType"] == Kind.SUB_FAILED}
    blanked, failed = [], []
    for event in history:
        kind = event["EventType"]
        if kind == Kind.SUB_CREATED and event["EventId"] in children:
            failed.append(event["InstanceId"])
        ended = kind in (Kind.TASK_FAILED, Kind.SUB_FAILED, Kind.EXECUTION_COMPLETED)
        if ended or (kind == Kind.TASK_SCHEDULED and event["EventId"] in tasks):
            event = generic(None, event)
        blanked.append(event)
    return blanked, failed
