"""Exit codes of `mobexport`, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from mobexport.errors import MobexportError, RemoteError, TooManyRequests, Unavailable


class Exit(IntEnum):
    """Exit codes; docs/command-line.md has the same table."""

    OK = 0
    BAD_RESULT = 1
    WRONG_CALL = 2
    UNREACHABLE = 3
    STILL_RUNNING = 4
    INTERRUPTED = 130


MEANINGS: Final[Mapping[Exit, str]] = {
    Exit.OK: "all is well; also an export that ended `Empty`, and one that runs, if nobody waits for it",
    Exit.BAD_RESULT: "a bad result: an export or batch that ended badly, rejects found by `check` and"
    " `convert --strict`, raw data that `raw check` says would be left out, a check of `doctor` that failed,"
    " a schedule that cannot be read, a pulled file that is not what its manifest says, a table that"
    " `tables migrate` left as it is, a test notification that was not delivered, one that"
    " `notify resend --all` could not begin",
    Exit.WRONG_CALL: "a wrong call, file or setting, something that does not exist, a refusal (4xx)",
    Exit.UNREACHABLE: "app or storage cannot be reached, or cannot answer now (5xx, 429): try again",
    Exit.STILL_RUNNING: "`--timeout` has passed; the export goes on",
    Exit.INTERRUPTED: "Ctrl-C; the export goes on",
}


def exit_of(error: MobexportError) -> Exit:
    """The exit code of an error."""
    passing = isinstance(error, RemoteError | Unavailable | TooManyRequests) or error.retryable
    return Exit.UNREACHABLE if passing else Exit.WRONG_CALL
