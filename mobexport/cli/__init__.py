"""The command `mobexport`: exports of a running app, their files and tables, export files on a laptop.

Its libraries are the extra `cli`, which the deployed app goes without. Exit codes: `mobexport.cli.exits`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. Results go to stdout, all else to stderr."""
    try:
        from mobexport.cli.program import run
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        print(
            f"mobexport: {error.name} is missing: install the command line with its extra,"
            " pipx install 'mobile-engagement-export[cli]'",
            file=sys.stderr,
        )
        return 2
    return run(argv)
