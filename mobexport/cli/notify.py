"""Commands about notifications: `notify test`, `notify list`, `notify resend`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from mobexport.cli.connection import app_options, connect
from mobexport.cli.exits import Exit
from mobexport.cli.output import cell, json_option, one_line, print_json, print_rows
from mobexport.errors import RequestError

if TYPE_CHECKING:
    from mobexport.cli.app_api import AppApi


def _api() -> AppApi:
    from mobexport.cli.app_api import AppApi

    return AppApi(connect())


@click.group()
def notify() -> None:
    """Test the targets of notifications; list what was not delivered, send it again."""


@notify.command()
@click.argument("target", metavar="TARGET")
@json_option
@app_options
def test(target: str, as_json: bool) -> int:
    """Have the app send a test event to a target of its exports.toml."""
    found = _api().test_target(target)
    if as_json:
        print_json(found)
    elif found["delivered"]:
        click.echo(f"{target}: delivered, event {found['eventId']}")
    else:
        click.echo(f"{target}: not delivered: {one_line(found['error']['message'])}")
    return Exit.OK if found["delivered"] else Exit.BAD_RESULT


@notify.command(name="list")
@click.option(
    "--state",
    type=click.Choice(("failed", "pending")),
    default="failed",
    show_default=True,
    help="Given up, or still to be made.",
)
@click.option("--app", metavar="APP", help="Of this app alone.")
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, metavar="N", help="At most so many."
)
@json_option
@app_options
def list_(state: str, app: str | None, limit: int, as_json: bool) -> Exit:
    """List notifications that were not delivered, with the last error of each."""
    options = {"state": state, **({"app": app} if app else {})}
    found = list(_api().list_notifications(options, limit))
    if as_json:
        print_json(found)
        return Exit.OK
    if not found:
        click.echo(f"no {state} notifications", err=True)
        return Exit.OK
    header = ("export", "notification", "event", "tries", "last try", "error")
    print_rows(header, [_row(one) for one in found], right={3})
    return Exit.OK


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    last = str(one["lastTryAt"] or "")[:19]
    return (
        one["exportId"],
        one["notification"],
        cell(one["event"]),
        str(one["tries"]),
        last,
        one["error"] or "",
    )


@notify.command()
@click.argument("export", metavar="[EXPORT", required=False)
@click.argument("notification", metavar="NOTIFICATION]", required=False)
@click.option("--all", "all_", is_flag=True, help="All that failed, of --app and --target if named.")
@click.option("--app", metavar="APP", help="With --all: of this app alone.")
@click.option("--target", metavar="TARGET", help="With --all: to this target alone.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    metavar="N",
    help="With --all: at most so many.",
)
@json_option
@app_options
def resend(
    export: str | None,
    notification: str | None,
    all_: bool,
    app: str | None,
    target: str | None,
    limit: int,
    as_json: bool,
) -> Exit:
    """Have a failed notification sent again: the same event, with the same id.

    EXPORT and NOTIFICATION as `notify list` shows them; or --all.
    """
    if all_ == bool(export) or (export and not notification):
        raise click.UsageError("name an EXPORT and a NOTIFICATION, or --all", click.get_current_context())
    if not all_ and (app or target):
        raise click.UsageError("--app and --target go with --all", click.get_current_context())
    api = _api()
    done: list[dict[str, Any]] = []
    missed = 0
    for id_, name in _chosen(api, app, target, limit) if all_ else [(str(export), str(notification))]:
        try:
            done.append(api.resend(id_, name))
        except RequestError as error:
            if not all_:
                raise
            missed += 1
            click.echo(f"{id_} {name}: {one_line(error.message)}", err=True)
    if as_json:
        print_json(done)
    else:
        for one in done:
            click.echo(f"{one['exportId']} {one['notification']}: being sent again")
        if all_ and not done and not missed:
            click.echo("no failed notifications", err=True)
    return Exit.BAD_RESULT if missed else Exit.OK


def _chosen(api: AppApi, app: str | None, target: str | None, limit: int) -> list[tuple[str, str]]:
    """Failed ones, listed before the first is sent again: the list changes with each."""
    options = {"state": "failed", **({"app": app} if app else {})}
    found = [
        (one["exportId"], one["notification"])
        for one in api.list_notifications(options, limit)
        if target is None or one["target"] == target
    ]
    # Of several attempts the newest goes first, the next time the one before it.
    return list(dict.fromkeys(found))


COMMANDS: Final[tuple[click.Command, ...]] = (notify,)
