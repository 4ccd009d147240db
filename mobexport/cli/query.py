"""The command `query`: SQL over the curated tables, by DuckDB (the extra `query`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import click

from mobexport.cli.account import account_option, open_tables
from mobexport.cli.output import cell, json_option, print_json_line, print_rows
from mobexport.errors import ConfigError, RequestError

if TYPE_CHECKING:
    pass

_BATCH: Final = 1000
# No files, no network, no variables of this process: a query reads the tables and nothing else.
_CLOSED: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
}


@click.command()
@click.argument("sql", metavar="SQL")
@click.option("--app", metavar="APP", help="Its tables also go by their type alone: FROM Event.")
@json_option
@account_option
def query(sql: str, app: str | None, as_json: bool) -> None:
    """Run SQL over the curated tables.

    As in: mobexport query 'SELECT count(*) FROM "shop/Event"'. Where all tables are of one app,
    their type is name enough. --json: one object a line.
    """
    try:
        import duckdb
    except ModuleNotFoundError:
        raise ConfigError("query needs DuckDB: pipx install 'mobile-engagement-export[cli,query]'") from None

    with open_tables() as tables, duckdb.connect(config=_CLOSED) as connection:
        for name, folder in names(tables.folders(), app, sql).items():
            table = tables.open(folder)
            if table is not None:
                connection.register(name, table.to_pyarrow_dataset())
        connection.execute("SET lock_configuration = true")
        try:
            # Days and instants are UTC, here as everywhere.
            found = connection.execute(sql)
            header = [column[0] for column in found.description or ()]
            rows = _rows(found)
            if as_json:
                for row in rows:
                    print_json_line(dict(zip(header, map(plain, row), strict=True)))
            else:
                print_rows(header, [[cell(plain(value)) for value in row] for row in rows])
        except duckdb.Error as error:
            known = ", ".join(f'"{folder}"' for folder in tables.folders()) or "none yet"
            raise RequestError(f"{error}; tables: {known}") from None


def names(folders: Sequence[str], app: str | None, sql: str) -> dict[str, str]:
    """The tables that the query may mean, by name: `app/Type`, and `Type` of the one app.

    Only those whose type stands in the query: a table that is opened costs several calls.
    """
    words = {word.lower() for word in re.findall(r"\w+", sql)}
    wanted = [folder for folder in folders if folder.rpartition("/")[2].lower() in words]
    apps = {folder.rpartition("/")[0] for folder in folders}
    one = app or (next(iter(apps)) if len(apps) == 1 else None)
    if app is not None and app not in apps:
        raise RequestError(
            f"--app {app}: no tables; there are tables of: {', '.join(sorted(apps)) or 'none'}"
        )
    short = {folder.rpartition("/")[2]: folder for folder in wanted if folder.rpartition("/")[0] == one}
    return {folder: folder for folder in wanted} | short


def plain(value: Any) -> Any:
    """A value as JSON has it: times in UTC, numbers of any precision as numbers or text."""
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat().replace("+00:00", "Z")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(name): plain(own) for name, own in value.items()}
    if isinstance(value, list | tuple):
        return [plain(own) for own in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _rows(found: Any) -> Iterator[tuple[Any, ...]]:
    while batch := found.fetchmany(_BATCH):
        yield from batch


COMMANDS: Final[tuple[click.Command, ...]] = (query,)
