"""The command `mobexport`: export files on a laptop, the story of one export, curated tables, settings.

Exit codes: 0 all is well; 1 `check` and `convert --strict` found rejects, `raw check` what would be left out,
or `tables migrate` left a table as it is; 2 a wrong call, file or setting, no such table, or storage that
cannot be reached.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from mobexport.cli import config, files, raw, service, tables
from mobexport.cli.command import Command, Group
from mobexport.errors import MobexportError

COMMANDS: tuple[Command | Group, ...] = (
    *files.COMMANDS,
    *service.COMMANDS,
    raw.GROUP,
    tables.GROUP,
    config.GROUP,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. Results go to stdout, errors to stderr."""
    parser = argparse.ArgumentParser(
        prog="mobexport", description="Look at Mobile Engagement export files, exports and curated tables."
    )
    _add(parser, COMMANDS)
    arguments = parser.parse_args(argv)
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()
        return code
    except MobexportError as error:
        print(f"mobexport: {error.message}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read us has seen enough (`| head`); nothing more can be written, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(f"mobexport: {error.filename or 'file'}: {error.strerror or error}", file=sys.stderr)
    return 2


def _add(parser: argparse.ArgumentParser, commands: Sequence[Command | Group]) -> None:
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in commands:
        own = subparsers.add_parser(command.name, help=command.help, description=command.help)
        if isinstance(command, Group):
            _add(own, command.commands)
        else:
            command.add_arguments(own)
            own.set_defaults(run=command.run)
