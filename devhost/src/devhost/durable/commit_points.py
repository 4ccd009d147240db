"""Where the store commits; chaos kills the host at each of them."""

from enum import Enum


class CommitPoint(Enum):
    """Every place where state is committed. A process may be killed just before or after each of them."""

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
