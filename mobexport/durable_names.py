"""Names on Durable's wire, all in one place: orchestrators, activities, events, instance ids.

A misspelt activity hangs for ever on the real host, so every caller imports its name from here and a
test checks that each one is indexed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mobexport.wire import AttemptRef

# Orchestrators
RUN_EXPORT: Final = "run_export"
PROCESS_EXPORT: Final = "process_export"
DELIVER_NOTIFICATION: Final = "deliver_notification"
RUN_BATCH: Final = "run_batch"
SERVE_EXPORT_TASK: Final = "serve_export_task"
RUN_TASK_LANE: Final = "run_task_lane"

ORCHESTRATORS: Final = frozenset(
    {
        RUN_EXPORT,
        PROCESS_EXPORT,
        DELIVER_NOTIFICATION,
        RUN_BATCH,
        SERVE_EXPORT_TASK,
        RUN_TASK_LANE,
    }
)

# Activities of the pipeline
CREATE_EXPORT_JOB: Final = "create_export_job"
CHECK_EXPORT_JOB: Final = "check_export_job"
COLLECT_FILES: Final = "collect_files"
ENSURE_PROCESSING_STARTED: Final = "ensure_processing_started"
FINISH_EXPORT: Final = "finish_export"
BEGIN_PROCESSING: Final = "begin_processing"
CONVERT_FILE: Final = "convert_file"
FIND_PARTS: Final = "find_parts"
CONVERT_PART: Final = "convert_part"
COMMIT_EXPORT: Final = "commit_export"
GIVE_UP_PROCESSING: Final = "give_up_processing"
SEND_NOTIFICATION: Final = "send_notification"
ADVANCE_BATCH: Final = "advance_batch"

# Activities of the Export API
PLAN_EXPORT_TASK: Final = "plan_export_task"
PARTITION_SLICE: Final = "partition_slice"
WRITE_BUCKET: Final = "write_bucket"
COMMIT_FILE: Final = "commit_file"
FINISH_EXPORT_TASK: Final = "finish_export_task"

ACTIVITIES: Final = frozenset(
    {
        CREATE_EXPORT_JOB,
        CHECK_EXPORT_JOB,
        COLLECT_FILES,
        ENSURE_PROCESSING_STARTED,
        FINISH_EXPORT,
        BEGIN_PROCESSING,
        CONVERT_FILE,
        FIND_PARTS,
        CONVERT_PART,
        COMMIT_EXPORT,
        GIVE_UP_PROCESSING,
        SEND_NOTIFICATION,
        ADVANCE_BATCH,
        PLAN_EXPORT_TASK,
        PARTITION_SLICE,
        WRITE_BUCKET,
        COMMIT_FILE,
        FINISH_EXPORT_TASK,
    }
)

_LONGEST: Final[Mapping[str, float]] = {
    # The whole `functionTimeout` of host.json (30 minutes), and the wait for each other.
    **dict.fromkeys((FIND_PARTS, CONVERT_FILE, CONVERT_PART, PARTITION_SLICE, WRITE_BUCKET), 2400.0),
    # They plan, and do all of a small export.
    **dict.fromkeys((BEGIN_PROCESSING, PLAN_EXPORT_TASK), 900.0),
}


def longest(activity: str) -> float:
    """Seconds after which an activity has ended, its time in the queue included."""
    return _LONGEST.get(activity, 300.0)


# External events
CANCEL: Final = "cancel"
PROCESSED: Final = "processed"


def run_instance(ref: AttemptRef) -> str:
    """Instance of `run_export` for one attempt: one id for its starters (the request, a batch, the tick)."""
    return f"run-{ref}"


def process_instance(ref: AttemptRef) -> str:
    """Instance of `process_export`: one id for its three starters (trigger, run, tick)."""
    return f"process-{ref}"


def notify_instance(ref: AttemptRef, target: str, resent: int = 0) -> str:
    """Instance of `deliver_notification`: one id for its starters (the attempt's end, the tick, a caller).

    `resent`: how often it was asked for again; each time is an instance of its own.
    """
    return f"notify-{ref}-{target}" + (f"~{resent}" if resent else "")


def batch_instance(batch_id: str) -> str:
    """Instance of `run_batch`: one id for its starters (the caller, the schedule, the tick)."""
    return f"batch-{batch_id}"


def task_instance(task_id: str) -> str:
    """Instance of `serve_export_task` for one export task."""
    return f"task-{task_id}"
