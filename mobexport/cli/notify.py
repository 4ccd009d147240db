"""Commands about notification targets: `notify test`."""

from __future__ import annotations

from typing import Final

import click

from mobexport.cli.connection import app_options, connect
from mobexport.cli.exits import Exit
from mobexport.cli.output import json_option, one_line, print_json


@click.group()
def notify() -> None:
    """Test the targets of notifications."""


@notify.command()
@click.argument("target", metavar="TARGET")
@json_option
@app_options
def test(target: str, as_json: bool) -> int:
    """Have the app send a test event to a target of its exports.toml."""
    from mobexport.cli.app_api import AppApi

    found = AppApi(connect()).test_target(target)
    if as_json:
        print_json(found)
    elif found["delivered"]:
        click.echo(f"{target}: delivered, event {found['eventId']}")
    else:
        click.echo(f"{target}: not delivered: {one_line(found['error']['message'])}")
    return Exit.OK if found["delivered"] else Exit.BAD_RESULT


COMMANDS: Final[tuple[click.Command, ...]] = (notify,)
