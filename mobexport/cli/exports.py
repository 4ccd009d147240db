"""Commands about the exports of a running app: ask for them, look at them, follow, cancel, repeat them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from mobexport import clock, export_types
from mobexport.cli.connection import app_options, connect
from mobexport.cli.exits import Exit
from mobexport.cli.output import json_option, one_line, print_json, print_json_line, print_rows
from mobexport.pipeline.registry.states import State
from mobexport.pipeline.requests.rerun_body import rerun_body

if TYPE_CHECKING:
    from mobexport.cli.app_api import AppApi

_Function = TypeVar("_Function", bound=Callable[..., Any])
_TYPES: Final = click.Choice([one.name for one in export_types.all_types()], case_sensitive=False)
_DAY: Final = click.DateTime(["%Y-%m-%d"])


def _api() -> AppApi:
    from mobexport.cli.app_api import AppApi

    return AppApi(connect())


def _wait_options(function: _Function) -> _Function:
    for option in (
        click.option(
            "--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Wait no longer (exit code 4)."
        ),
        click.option("--wait", is_flag=True, help="Wait for the end; the exit code tells how it went."),
    ):
        function = option(function)
    return function


def _request_options(function: _Function) -> _Function:
    """Options that an export and a batch share."""
    for option in (
        click.option("--rerun", is_flag=True, help="Also if it has succeeded before."),
        click.option(
            "--notify", multiple=True, metavar="TARGET", help="Instead of the app's targets; several times."
        ),
        click.option(
            "--to", "last", type=_DAY, metavar="DAY", help="Last day, included (default: the first)."
        ),
        click.option(
            "--from", "first", type=_DAY, metavar="DAY", help="First day, in UTC, such as 2025-03-23."
        ),
        click.option("--app", metavar="APP", help="The app; needed if exports.toml names several."),
    ):
        function = option(function)
    return function


def _common(
    app: str | None, first: datetime | None, last: datetime | None, notify: Sequence[str], rerun: bool
) -> dict[str, Any]:
    """The part of a body that an export and a batch share."""
    if last and not first:
        raise click.UsageError("--to needs --from", click.get_current_context())
    days = {"startDate": f"{first:%Y-%m-%d}", "endDate": f"{last or first:%Y-%m-%d}"} if first else {}
    return {
        **({"app": app} if app else {}),
        **days,
        **({"notify": list(notify)} if notify else {}),
        **({"rerun": True} if rerun else {}),
    }


@click.command()
@click.argument("export_type", metavar="TYPE", type=_TYPES)
@_request_options
@click.option("--campaign-type", metavar="KIND", help="Push: Announcement, DataPush, NativePush or Poll.")
@click.option(
    "--campaign-id", type=int, multiple=True, metavar="ID", help="Push: these campaigns; several times."
)
@click.option("--campaign-from", metavar="TIME", help="Push: first instant, as 2025-03-23T00:00:00Z.")
@click.option("--campaign-to", metavar="TIME", help="Push: last instant, included.")
@click.option(
    "--format", "format_", metavar="FORMAT", help="JsonBlob, or CsvBlob with a container of your own."
)
@click.option(
    "--container-url",
    envvar="MOBEXPORT_CONTAINER_URL",
    metavar="URL",
    help="Deliver to this container, by its SAS; a secret, better in MOBEXPORT_CONTAINER_URL.",
)
@_wait_options
@json_option
@app_options
def export(
    export_type: str,
    app: str | None,
    first: datetime | None,
    last: datetime | None,
    notify: tuple[str, ...],
    rerun: bool,
    campaign_type: str | None,
    campaign_id: tuple[int, ...],
    campaign_from: str | None,
    campaign_to: str | None,
    format_: str | None,
    container_url: str | None,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Ask for an export of one type.

    TYPE is Activity, Crash, Device, Error, Event, Job, Push, Session, Tag or Token. The same
    request again is the same export. Prints its id; with --wait how it ended.
    """
    optional = {
        "campaignType": campaign_type,
        "campaignIds": list(campaign_id) or None,
        "campaignWindowStart": campaign_from,
        "campaignWindowEnd": campaign_to,
        "format": format_,
        "containerUrl": container_url,
    }
    body = {
        "exportType": export_type,
        **_common(app, first, last, notify, rerun),
        **{name: value for name, value in optional.items() if value is not None},
    }
    api = _api()
    return _requested(api, api.request_export(body), wait, timeout, as_json)


@click.command()
@click.argument("export_types_", metavar="[TYPE]...", nargs=-1, type=_TYPES)
@_request_options
@click.option("--window-days", type=int, metavar="N", help="Days of each export (default: 1).")
@click.option("--parallel", type=int, metavar="N", help="Exports that run at once (default: the app's).")
@_wait_options
@json_option
@app_options
def batch(
    export_types_: tuple[str, ...],
    app: str | None,
    first: datetime | None,
    last: datetime | None,
    notify: tuple[str, ...],
    rerun: bool,
    window_days: int | None,
    parallel: int | None,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Ask for many exports at once.

    They are the types (default: all) times windows of days."""
    body = {
        **({"exportTypes": list(export_types_)} if export_types_ else {}),
        **_common(app, first, last, notify, rerun),
        **({"windowDays": window_days} if window_days is not None else {}),
        **({"parallel": parallel} if parallel is not None else {}),
    }
    api = _api()
    return _requested(api, api.request_batch(body), wait, timeout, as_json)


@click.command()
@click.argument("export_id", metavar="ID")
@click.option(
    "--notify", multiple=True, metavar="TARGET", help="Instead of the app's targets; several times."
)
@_wait_options
@json_option
@app_options
def rerun(export_id: str, notify: tuple[str, ...], wait: bool, timeout: float | None, as_json: bool) -> int:
    """Repeat an export that has ended, as its next attempt."""
    api = _api()
    shown = api.get_export(export_id)
    body = rerun_body(shown, clock.now())
    found = api.request_export({**body, **({"notify": list(notify)} if notify else {})})
    return _requested(api, found, wait, timeout, as_json)


@click.command("list")
@click.option("--app", metavar="APP", help="Of this app.")
@click.option("--type", "export_type", type=_TYPES, metavar="TYPE", help="Of this type.")
@click.option(
    "--state",
    multiple=True,
    type=click.Choice(list(State), case_sensitive=False),
    metavar="STATE",
    help="In this state; several times.",
)
@click.option("--since", metavar="DAY", help="First asked for on that day, or at that time, or later.")
@click.option("--before", metavar="DAY", help="First asked for earlier.")
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=50, metavar="N", help="At most so many (default: 50)."
)
@json_option
@app_options
def list_exports(
    app: str | None,
    export_type: str | None,
    state: tuple[str, ...],
    since: str | None,
    before: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List exports, newest first."""
    options = {
        "app": app,
        "exportType": export_type,
        "state": ",".join(state),
        "createdFrom": since,
        "createdTo": before,
        "limit": str(min(limit, 200)),
    }
    wanted = {name: value for name, value in options.items() if value}
    exports = list(_api().list_exports(wanted, limit))
    if as_json:
        print_json(exports)
    elif not exports:
        click.echo("no exports", err=True)
    else:
        header = ("id", "state", "days", "records", "rows", "rejected", "asked for")
        print_rows(header, [_row(one) for one in exports], right={3, 4, 5})


def _row(shown: Mapping[str, Any]) -> Sequence[str]:
    counts = shown["counts"] or {}
    numbers = (f"{counts[name]:,}" if name in counts else "" for name in ("records", "rows", "rejected"))
    return (shown["id"], shown["state"], _days(shown), *numbers, shown["createdAt"])


@click.command()
@click.argument("id_", metavar="ID")
@json_option
@app_options
def status(id_: str, as_json: bool) -> int:
    """Show an export, or a batch, as it is now."""
    from mobexport.cli.waiting import end_of

    found = _api().get(id_)
    _show(found, as_json)
    return end_of(found)


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Wait no longer (exit code 4).")
@json_option
@app_options
def watch(id_: str, timeout: float | None, as_json: bool) -> int:
    """Follow an export, or a batch, until it ends.

    A line for each change; --json: an object a line."""
    from mobexport.cli.waiting import changes, describe, end_of, has_ended

    api = _api()
    found = api.get(id_)
    for now in changes(api, found, timeout):
        found = now
        if as_json:
            print_json_line(found)
        else:
            click.echo(f"{datetime.now(UTC):%H:%M:%S}  {one_line(describe(found))}")
    return end_of(found) if has_ended(found) else Exit.STILL_RUNNING


@click.command()
@click.argument("export_id", metavar="ID")
@_wait_options
@json_option
@app_options
def cancel(export_id: str, wait: bool, timeout: float | None, as_json: bool) -> int:
    """Cancel an export that has not been collected yet."""
    api = _api()
    found = api.cancel(export_id)
    if wait:
        from mobexport.cli.waiting import wait as wait_for

        found, code = wait_for(api, found, timeout)
        _show(found, as_json)
        # That it was cancelled is what was asked for.
        return Exit.OK if found["state"] == State.CANCELLED else code
    _show(found, as_json)
    return Exit.OK


def _requested(api: AppApi, found: dict[str, Any], wait: bool, timeout: float | None, as_json: bool) -> int:
    if wait:
        from mobexport.cli.waiting import wait as wait_for

        found, code = wait_for(api, found, timeout)
        _show(found, as_json)
        return code
    if as_json:
        print_json(found)
    else:
        click.echo(found["id"])
        click.echo(f"{found['state']}; follow it: mobexport watch {found['id']}", err=True)
    return Exit.OK


def _show(found: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
    elif "exports" in found:
        _print_fields({"batch": found["id"], "state": found["state"], "counts": _pairs(found["counts"])})
        rows = [(one["id"], one["state"], _days(one)) for one in found["exports"]]
        print_rows(("export", "state", "days"), rows)
    else:
        _print_fields(_fields(found))


def _fields(shown: Mapping[str, Any]) -> Mapping[str, str]:
    """An export's fields for people; those without a value are left out."""
    counts, error = shown["counts"] or {}, shown["error"] or {}
    numbers = {name: counts[name] for name in ("records", "rows", "rejected") if name in counts}
    fields = {
        "export": shown["id"],
        "app": shown["app"],
        "type": shown["exportType"],
        "days": _days(shown),
        "state": shown["state"] + (" (cancel requested)" if shown["cancelRequested"] else ""),
        "attempt": str(shown["attempt"]),
        "counts": _pairs(numbers),
        "error": f"{error.get('code')}: {error.get('message')}" if error else "",
        "manifest": shown["manifest"] or "",
        "destination": shown["destination"] or "",
        "notified": _pairs({name: one["state"] for name, one in shown["deliveries"].items()}),
        "asked for": shown["createdAt"],
        "ended": shown["endedAt"] or "",
    }
    return {name: text for name, text in fields.items() if text}


def _print_fields(fields: Mapping[str, str]) -> None:
    width = max(map(len, fields))
    for name, text in fields.items():
        click.echo(f"{name:<{width}}  {one_line(text)}")


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in values.items()
    )


def _days(shown: Mapping[str, Any]) -> str:
    window = shown.get("window")
    if window:
        return window[0] if window[0] == window[1] else f"{window[0]}..{window[1]}"
    return shown.get("snapshotDay") or ""


COMMANDS: Final[tuple[click.Command, ...]] = (export, batch, list_exports, status, watch, cancel, rerun)
