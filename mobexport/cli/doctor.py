"""The command `doctor`: whether this machine, the app and the data account are fit, and what to do if not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import click

from mobexport.cli.connection import Connection, app_options, connect
from mobexport.cli.exits import Exit
from mobexport.cli.output import json_option, one_line, print_json, print_rows
from mobexport.errors import MobexportError

if TYPE_CHECKING:
    from mobexport.cli.app_api import AppApi

OK: Final = "ok"
FAILED: Final = "failed"
SKIPPED: Final = "not asked"
_SKEW_SECONDS: Final = 60
_REMEDIES: Final = {
    "app": "start it (`make start`), or name it: --url, MOBEXPORT_URL, a profile",
    "app: indexing": "deploy again, whole; docs/operations.md",
    "app: settings": "correct the setting that it names; docs/settings.md",
    "app: configuration": "correct exports.toml at the place that it names, and deploy",
    "app: secrets": "set the secret that it names, and restart the app; docs/deploy.md",
    "app: storage": "set DATA_STORAGE, and give the app's identity its roles; docs/deploy.md",
    "app: exportApi": "correct EXPORT_API_URL and EXPORT_API_SCOPE; docs/settings.md",
    "app: telemetry": "correct TELEMETRY_EXPORTER; docs/operations.md",
    "key": "set MOBEXPORT_KEY to a function key of the app, or use a profile",
    "clock": "set this machine's clock: signed calls are refused beyond five minutes",
    "account": "set DATA_STORAGE, or give yourself the role Storage Blob Data Reader; `az login`",
}


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    state: str
    """`ok`, `failed` or `not asked`."""
    found: str
    remedy: str = ""
    """What to do, of a check that failed."""


@click.command()
@json_option
@app_options
def doctor(as_json: bool) -> int:
    """Check app, key, clock and data account.

    Each check that fails says what to do."""
    findings = list(examine())
    if as_json:
        print_json([asdict(one) for one in findings])
    else:
        print_rows(("check", "state", "found"), [(one.check, one.state, one.found) for one in findings])
        for one in findings:
            if one.remedy:
                click.echo(f"{one.check}: {one.remedy}")
    return Exit.BAD_RESULT if any(one.state == FAILED for one in findings) else Exit.OK


def examine() -> Iterator[Finding]:
    """Every check; those that need what has failed are not asked."""
    try:
        app = connect()
    except MobexportError as error:
        yield _failed("app", error)
        yield from (Finding(name, SKIPPED, "no app is named") for name in ("key", "clock"))
    else:
        yield from _app(app)
    yield _account()


def _app(app: Connection) -> Iterator[Finding]:
    from mobexport.cli.app_api import AppApi

    api = AppApi(app)
    try:
        health = api.health()
    except MobexportError as error:
        yield _failed("app", error)
        yield from (Finding(name, SKIPPED, "the app does not answer") for name in ("key", "clock"))
        return
    yield Finding("app", OK, app.url)
    for name, found in health["checks"].items():
        check = f"app: {name}"
        state = OK if found == OK else FAILED
        yield Finding(
            check, state, one_line(found), "" if state == OK else _REMEDIES.get(check, "docs/operations.md")
        )
    yield _key(api)
    yield _clock(api)


def _key(api: AppApi) -> Finding:
    try:
        list(api.list_exports({"limit": "1"}, 1))
    except MobexportError as error:
        return _failed("key", error)
    return Finding("key", OK, "the app answers" if api.connection.key else "none is needed")


def _clock(api: AppApi) -> Finding:
    if api.date is None:
        return Finding("clock", SKIPPED, "the app tells no time")
    off = round(time.time() - parsedate_to_datetime(api.date).timestamp())
    state = OK if abs(off) <= _SKEW_SECONDS else FAILED
    return Finding("clock", state, f"{off:+} s from the app's", "" if state == OK else _REMEDIES["clock"])


def _account() -> Finding:
    from mobexport.cli.account import open_tables

    try:
        with open_tables() as tables:
            return Finding(
                "account", OK, f"{tables.storage.blobs.account_name}, {len(tables.folders())} tables"
            )
    except MobexportError as error:
        return _failed("account", error)


def _failed(check: str, error: MobexportError) -> Finding:
    return Finding(check, FAILED, one_line(error.message), _REMEDIES[check])


COMMANDS: Final[tuple[click.Command, ...]] = (doctor,)
