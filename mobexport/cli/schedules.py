"""The command `schedules`: what an app exports by itself, when it did so last, and when it will next."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import click

from mobexport.cli.connection import app_options, connect
from mobexport.cli.exits import Exit
from mobexport.cli.output import cell, json_option, one_line, print_json, print_rows

_HEADER: Final = ("app", "at", "types", "last day", "last run", "next run", "due")
_MANY: Final = 3


@click.command()
@json_option
@app_options
def schedules(as_json: bool) -> Exit:
    """List the app's schedules with their last and next runs.

    Times are UTC, but for `at`. A run that is due begins within five minutes.
    """
    from mobexport.cli.app_api import AppApi

    found = AppApi(connect()).schedules()
    broken = [one for one in found if "error" in one]
    if as_json:
        print_json(found)
    elif not found:
        click.echo('no schedules: exports.toml has no [apps."…".schedule]', err=True)
    else:
        print_rows(_HEADER, [_row(one) for one in found])
    for one in broken:
        click.echo(f"{one['app']}: {one_line(one['error'])}", err=True)
    return Exit.BAD_RESULT if broken else Exit.OK


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    due = one["dueDays"]
    return (
        one["app"],
        cell(f"{one['at'][:5]} {one['timeZone']}"),
        _few(one["types"]),
        one["lastDay"] or "never",
        _instant(one.get("lastRunAt")),
        _instant(one["nextRunAt"]),
        f"{len(due)} days from {due[0]}" if len(due) > 1 else "".join(due),
    )


def _few(names: list[str]) -> str:
    rest = len(names) - _MANY
    return ", ".join(names[:_MANY]) + (f" and {rest} more" if rest > 0 else "")


def _instant(text: str | None) -> str:
    if not text:
        return ""
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}"
    except ValueError:
        return cell(text)


COMMANDS: Final[tuple[click.Command, ...]] = (schedules,)
