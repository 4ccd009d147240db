"""One subcommand of `mobexport`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A subcommand: help text, arguments, and a function that returns the exit code."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


@dataclass(frozen=True)
class Group:
    """Subcommands below one word: `mobexport tables list`."""

    name: str
    help: str
    commands: tuple[Command, ...]
