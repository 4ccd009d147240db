"""Commands about the app's configuration: `config check`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mobexport.cli.exits import Exit
from mobexport.cli.output import json_option, print_json


@click.group()
def config() -> None:
    """Look at the app's settings and exports.toml."""


@config.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@json_option
def check(folder: Path, as_json: bool) -> Exit:
    """Name every problem of settings, exports.toml and secrets.

    FOLDER is the app's, with exports.toml and local.settings.json (default: the present one). What the
    environment says goes before local.settings.json.
    """
    from mobexport.config_check import check_all

    problems, notes = check_all(os.environ, folder)
    if as_json:
        print_json({"problems": problems, "notes": notes})
        return Exit.WRONG_CALL if problems else Exit.OK
    for note in notes:
        click.echo(f"note: {note}")
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        click.echo(f"{len(problems)} problem{'s'[: len(problems) != 1]}", err=True)
        return Exit.WRONG_CALL
    click.echo("the configuration is well")
    return Exit.OK


COMMANDS = (config,)
