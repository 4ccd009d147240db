"""Commands over raw data: `raw check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mobexport.cli.account import account_option, open_storage
from mobexport.cli.exits import Exit
from mobexport.cli.output import json_option, one_line, print_json
from mobexport.errors import NotFound

if TYPE_CHECKING:
    from mobexport.config import ExportsConfig
    from mobexport.export_api.raw_check import RawReport

_PATH: Final = click.Path(path_type=Path)


@click.group()
def raw() -> None:
    """Look at raw data before it is exported."""


@raw.command()
@click.argument("folder", type=_PATH, required=False)
@click.option(
    "--container",
    metavar="NAME",
    is_flag=False,
    flag_value="",
    default=None,
    help="A container of the account of DATA_STORAGE instead of a folder (without NAME: RAW_CONTAINER).",
)
@click.option(
    "--config",
    "file",
    type=_PATH,
    metavar="FILE",
    help="Apps and mappings (default: exports.toml in the present folder, if there is one).",
)
@click.option(
    "--slack-days", type=click.IntRange(0), metavar="N", help="Instead of RAW_SLACK_DAYS (default: 1)."
)
@click.option(
    "--records", type=click.IntRange(1), metavar="N", help="Records read of each file (default: 10,000)."
)
@json_option
@account_option
def check(
    folder: Path | None,
    container: str | None,
    file: Path | None,
    slack_days: int | None,
    records: int | None,
    as_json: bool,
) -> Exit:
    """Tell what is there, what is not read and why, and what would be rejected.

    FOLDER is one of this machine, laid out as the raw container: {app}/{kind}/{YYYY-MM-DD}/… Changes nothing.
    """
    if (folder is None) == (container is None):
        raise click.UsageError("name either a FOLDER or --container")
    from mobexport.config import load_config
    from mobexport.export_api.raw_check import RECORDS, check_raw_folder

    config = load_config(file or Path("exports.toml"), required=file is not None)
    report = (
        check_raw_folder(folder, config, slack_days, records or RECORDS)
        if folder is not None
        else _of_container(container or "", config, slack_days, records or RECORDS)
    )
    if as_json:
        print_json(report.to_json())
    else:
        for line in report.lines():
            click.echo(one_line_of(line))
        click.echo(_verdict(report))
    return Exit.BAD_RESULT if report.has_problems else Exit.OK


def one_line_of(line: str) -> str:
    """A line of the report, with its indentation: names and records are somebody else's."""
    text = line.lstrip(" ")
    return " " * (len(line) - len(text)) + one_line(text)


def _verdict(report: RawReport) -> str:
    bad = sum(app.has_problems for app in report.apps)
    if not report.has_problems:
        return "all of it can be exported"
    return f"something would be left out: {bad} of {len(report.apps)} apps" if bad else "look at the notes"


def _of_container(name: str, config: ExportsConfig, slack_days: int | None, records: int) -> RawReport:
    from mobexport.export_api.raw_check import check_raw_data

    with open_storage() as storage:
        container = name or storage.settings.raw_container
        if not storage.container(container, create=False).exists():
            raise NotFound(f"the account of DATA_STORAGE has no container {container!r}")
        slack = storage.settings.raw_slack_days if slack_days is None else slack_days
        return check_raw_data(storage, container, config, slack_days=slack, records=records)


COMMANDS = (raw,)
