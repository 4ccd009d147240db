"""Commands about the app's configuration: `config check`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from mobexport.cli.command import Command, Group


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        default=Path(),
        type=Path,
        help="the app's folder, with exports.toml and local.settings.json (default: this one)",
    )


def _check(arguments: argparse.Namespace) -> int:
    from mobexport.config_check import check_all

    problems, notes = check_all(os.environ, arguments.folder)
    for note in notes:
        print(f"note: {note}")
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 2
    print("the configuration is well")
    return 0


GROUP = Group(
    "config",
    "The app's settings and exports.toml.",
    (
        Command(
            "check",
            "Name every problem of settings, exports.toml and secrets; the environment goes before"
            " local.settings.json.",
            _arguments,
            _check,
        ),
    ),
)
