"""The command `doctor`: whether this machine, the app and the data account are fit, and what to do if not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import click

from mobexport.cli.connection import Connection, app_options, connect
from mobexport.cli.exits import Exit
from mobexport.cli.output import json_option, one_line, print_json, print_rows
from mobexport.errors import MobexportError, NotFound

if TYPE_CHECKING:
    from mobexport.cli.app_api import AppApi
    from mobexport.tables.tables import Tables

OK: Final = "ok"
FAILED: Final = "failed"
LIMITED: Final = "limited"
SKIPPED: Final = "not asked"
_SKEW_SECONDS: Final = 60
_SECONDS: Final = 10.0
# No export has such an id: to cancel it changes nothing, and tells whether such calls are let in.
_NOBODY: Final = "doctor-asks-for-nothing"
_REMEDIES: Final = {
    "app": "start it (`make start`), or name it: --url, MOBEXPORT_URL, a profile",
    "app: indexing": "deploy again, whole; docs/operations.md",
    "app: settings": "correct the setting that it names; docs/settings.md",
    "app: configuration": "correct exports.toml at the place that it names, and deploy",
    "app: secrets": "set the secret that it names, and restart the app; docs/notifications.md#secrets",
    "app: storage": "set DATA_STORAGE, and give the app's identity its roles; docs/deploy.md",
    "app: exportApi": "correct EXPORT_API_URL and EXPORT_API_SCOPE; docs/settings.md",
    "app: telemetry": "correct TELEMETRY_EXPORTER; docs/operations.md",
    "key": "set MOBEXPORT_KEY to a function key of the app, or use a profile",
    "signing": "set MOBEXPORT_SIGNING_SECRET to what the app has as REQUEST_SIGNING_SECRET",
    "clock": "set this machine's clock: signed calls are refused beyond five minutes",
    "identity": "`az login`, or set DATA_STORAGE to a connection string",
    "account": "set DATA_STORAGE, or give yourself the role Storage Blob Data Reader; `az login`",
    "registry": "give yourself the role Storage Table Data Reader; the app needs Contributor",
    "writing": "only the app and `tables` need it: the roles Storage Blob and Table Data Contributor",
}


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    state: str
    """`ok`, `failed`, `limited` (enough for most) or `not asked`."""
    found: str
    remedy: str = ""
    """What to do, of a check that failed or is limited."""


@click.command()
@json_option
@app_options
def doctor(as_json: bool) -> int:
    """Check app, key, signature, clock, identity and data account.

    Each check that fails says what to do. Nothing is changed."""
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
        yield from _skipped(("key", "signing", "clock"), "no app is named")
    else:
        yield from _app(app)
    yield from _account()


def _app(app: Connection) -> Iterator[Finding]:
    from mobexport.cli.app_api import AppApi

    api = AppApi(app)
    try:
        health = api.health()
    except MobexportError as error:
        yield _failed("app", error)
        yield from _skipped(("key", "signing", "clock"), "the app does not answer")
        return
    yield Finding("app", OK, app.url)
    for name, found in health["checks"].items():
        check = f"app: {name}"
        state = OK if found == OK else FAILED
        yield Finding(
            check, state, one_line(found), "" if state == OK else _REMEDIES.get(check, "docs/operations.md")
        )
    key = _key(api)
    yield key
    yield _signing(api) if key.state == OK else Finding("signing", SKIPPED, "the app lets no call in")
    yield _clock(api)


def _key(api: AppApi) -> Finding:
    try:
        list(api.list_exports({"limit": "1"}, 1))
    except MobexportError as error:
        return _failed("key", error)
    return Finding("key", OK, "the app answers" if api.connection.key else "none is needed")


def _signing(api: AppApi) -> Finding:
    try:
        api.cancel(_NOBODY)
    except NotFound:
        pass
    except MobexportError as error:
        return _failed("signing", error)
    return Finding("signing", OK, "signed calls are let in" if api.connection.secret else "none is needed")


def _clock(api: AppApi) -> Finding:
    if api.date is None:
        return Finding("clock", SKIPPED, "the app tells no time")
    off = round(time.time() - parsedate_to_datetime(api.date).timestamp())
    state = OK if abs(off) <= _SKEW_SECONDS else FAILED
    return Finding("clock", state, f"{off:+} s from the app's", "" if state == OK else _REMEDIES["clock"])


def _account() -> Iterator[Finding]:
    """Of this machine's own way to the data account; the app's is told by its health."""
    from mobexport.cli.account import read_account
    from mobexport.tables.tables import Tables

    checks: tuple[tuple[str, Callable[[Tables], str]], ...] = (
        ("identity", _identity),
        ("account", _containers),
        ("registry", _registry),
        ("writing", _writing),
    )
    try:
        tables = Tables(read_account())
    except MobexportError as error:
        yield _failed("account", error)
        yield from _skipped((name for name, _ in checks if name != "account"), "no account is named")
        return
    for at, (name, ask) in enumerate(checks):
        finding = _ask(name, ask, tables)
        yield finding
        if finding.state == FAILED and name in ("identity", "account"):
            yield from _skipped((later for later, _ in checks[at + 1 :]), f"needs {name}")
            return


def _ask(name: str, ask: Callable[[Tables], str], tables: Tables) -> Finding:
    try:
        return Finding(name, OK, ask(tables))
    except Exception as raised:
        if name == "writing" and getattr(raised, "status_code", None) == 403:
            return Finding(name, LIMITED, "this identity may only read", _REMEDIES[name])
        if (error := _known(raised)) is None:
            raise
        return _failed(name, error)


def _identity(tables: Tables) -> str:
    if tables.storage.has_key:
        return "none is needed: there is a connection string"
    tables.storage.token()
    return "Entra ID gives a token for storage"


def _containers(tables: Tables) -> str:
    tables.storage.ping_blobs(_SECONDS)
    return f"{tables.storage.blobs.account_name}, {len(tables.folders())} tables"


def _registry(tables: Tables) -> str:
    tables.storage.ping_tables(_SECONDS)
    return "can be read"


def _writing(tables: Tables) -> str:
    tables.storage.ping_writes(_SECONDS)
    return "blobs and tables may be written"


def _known(raised: Exception) -> MobexportError | None:
    """An expected failure of storage or identity."""
    from azure.core.exceptions import ClientAuthenticationError

    from mobexport.errors import ConfigError
    from mobexport.storage import known_error

    if isinstance(raised, ClientAuthenticationError) and raised.status_code is None:
        # Its text is pages long: a paragraph of each way to sign in.
        return ConfigError("no way to sign in to Entra ID worked on this machine")
    return known_error(raised)


def _failed(check: str, error: MobexportError) -> Finding:
    return Finding(check, FAILED, one_line(error.message), _REMEDIES[check])


def _skipped(checks: Iterator[str] | tuple[str, ...], why: str) -> Iterator[Finding]:
    return (Finding(name, SKIPPED, why) for name in checks)


COMMANDS: Final[tuple[click.Command, ...]] = (doctor,)
