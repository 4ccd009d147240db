"""Commit points of the store; the chaos tests kill the host at each of them."""

from enum import Enum


class CommitPoint(Enum):
    """Every kind of commit; a process may be killed just before or after it."""

    START = "start"
    POST = "post"
    EPISODE = "episode"
    NEXT_GENERATION = "next generation"
    END = "end"
    TIMERS_FIRED = "timers fired"
    ACTIVITY_DONE = "activity done"
    PURGE = "purge"
    TIMER_STATUS = "timer status"
    BLOB_RECEIPT = "blob receipt"
