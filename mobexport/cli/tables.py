"""Commands over curated tables: `tables list`, `show`, `head`, `history`, `migrate`.

They use the data account of `DATA_STORAGE`: from the environment, else from `local.settings.json` in the
present folder.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mobexport.cli.command import Command, Group
from mobexport.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from mobexport.tables.tables import Tables

_LOCAL: Final = "local.settings.json"
_WIDTH: Final = 40
_SHOWN: Final = 20
_SECONDS: Final = 10


def _json_argument(parser: argparse.ArgumentParser, what: str = "print JSON") -> None:
    parser.add_argument("--json", action="store_true", help=what)


def _table_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", metavar="APP/TYPE", help="the table, such as shop/Event")


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    _table_argument(parser)
    _json_argument(parser)


def _head_arguments(parser: argparse.ArgumentParser) -> None:
    _table_argument(parser)
    parser.add_argument("-n", "--rows", type=_count, default=10, metavar="N", help="rows (default: 10)")
    _json_argument(parser, "one JSON object a line, values whole")


def _history_arguments(parser: argparse.ArgumentParser) -> None:
    _table_argument(parser)
    parser.add_argument(
        "-n", "--versions", type=_count, default=_SHOWN, metavar="N", help=f"versions (default: {_SHOWN})"
    )
    _json_argument(parser)


def _migrate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="look at everything and change nothing")
    _json_argument(parser)


def _list(arguments: argparse.Namespace) -> int:
    from mobexport.tables.looking import summarise

    with _tables() as tables:
        opened = ((folder, tables.open(folder)) for folder in tables.folders())
        found = [summarise(folder, table) for folder, table in opened if table is not None]
    if arguments.json:
        _print_json([asdict(one) for one in found])
        return 0
    if not found:
        print("no tables yet: an export that is committed makes its table", file=sys.stderr)
        return 0
    _print_rows(
        ("table", "rows", "files", "bytes", "days", "version"),
        [
            (
                one.table,
                f"{one.rows:,}",
                f"{one.files:,}",
                f"{one.bytes:,}",
                _days(one.first_day, one.last_day),
                str(one.version),
            )
            for one in found
        ],
        right={1, 2, 3, 5},
    )
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from mobexport.tables.looking import columns_of, summarise

    with _table(arguments.table) as table:
        summary, columns = summarise(arguments.table, table), columns_of(table)
        partitions = list(table.metadata().partition_columns)
    if arguments.json:
        shown = {**asdict(summary), "partitions": partitions, "columns": [asdict(one) for one in columns]}
        _print_json(shown)
        return 0
    print(f"{summary.table}, version {summary.version}")
    print(f"{summary.rows:,} rows, {summary.files:,} files, {summary.bytes:,} bytes")
    print(f"days {_days(summary.first_day, summary.last_day)}, partitions {', '.join(partitions)}\n")
    _print_rows(
        ("column", "type", "null", "comment"),
        [(one.name, one.type, "yes" if one.nullable else "never", one.comment) for one in columns],
    )
    return 0


def _head(arguments: argparse.Namespace) -> int:
    from mobexport.tables.looking import first_rows

    with _table(arguments.table) as table:
        names = [field.name for field in table.schema().fields]
        rows = first_rows(table, arguments.rows)
    if arguments.json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return 0
    _print_rows(names, [[_cell(row[name]) for name in names] for row in rows])
    return 0


def _history(arguments: argparse.Namespace) -> int:
    from mobexport.tables.looking import changes

    with _table(arguments.table) as table:
        found = changes(table, arguments.versions)
    if arguments.json:
        _print_json([asdict(one) for one in found])
        return 0
    _print_rows(
        ("version", "time", "export, or operation", "attempt", "rows", "days"),
        [
            (
                str(one.version),
                one.time,
                one.export_id or one.operation,
                "" if one.attempt is None else str(one.attempt),
                "" if one.rows is None else f"{one.rows:,}",
                one.days or "",
            )
            for one in found
        ],
        right={0, 3, 4},
    )
    return 0


def _migrate(arguments: argparse.Namespace) -> int:
    from mobexport.tables.migration import migrate

    def say(line: str) -> None:
        print(line, file=sys.stderr if arguments.json else sys.stdout, flush=True)

    with _tables() as tables:
        found = migrate(tables.storage, tables, is_trial=arguments.dry_run, say=say)
    if arguments.json:
        _print_json([asdict(one) for one in found])
    else:
        verb = "would be" if arguments.dry_run else "are"
        for one in found:
            if one.problem:
                print(f"{one.folder}: left as it is: {one.problem}")
                continue
            print(
                f"{one.folder}: {one.files:,} files of {one.exports:,} exports, {one.rows:,} rows {verb}"
                f" in the table; {one.rewritten:,} written anew; {one.pointers:,} pointers {verb} removed"
            )
        if not found:
            print("no pointers: nothing to migrate")
    return 1 if any(one.problem for one in found) else 0


GROUP = Group(
    "tables",
    "Look at curated Delta tables, and migrate to them.",
    (
        Command("list", "List the tables: rows, files, bytes, days, version.", _json_argument, _list),
        Command("show", "Show one table with its columns.", _show_arguments, _show),
        Command("head", "Print the first rows of a table.", _head_arguments, _head),
        Command("history", "Print which export changed a table, newest first.", _history_arguments, _history),
        Command("migrate", "Migrate data with pointers to tables, once.", _migrate_arguments, _migrate),
    ),
)


@contextmanager
def _tables() -> Iterator[Tables]:
    """The tables of the account in the settings. Raises ConfigError, Transient."""
    from mobexport.blob_paths import CURATED_CONTAINER
    from mobexport.settings import read_settings
    from mobexport.storage import DataStorage, known_error
    from mobexport.tables.tables import Tables, as_our_errors

    storage = DataStorage(read_settings({**_local_values(), **os.environ}))
    try:
        # Asked first, and once: both clients would try again for minutes before they say what is wrong.
        storage.container(CURATED_CONTAINER, create=False).exists(retry_total=0, connection_timeout=_SECONDS)
        with as_our_errors("of this account"):
            yield Tables(storage)
    except Exception as error:
        known = known_error(error)
        if known is None or known is error:
            raise
        raise known from None


@contextmanager
def _table(folder: str) -> Iterator[DeltaTable]:
    """One table. Raises NotFound that names those there are."""
    with _tables() as tables:
        there = tables.folders()
        table = tables.open(folder) if folder in there else None
        if table is None:
            near = get_close_matches(folder, there, 3) or there[:_SHOWN]
            raise NotFound(f"there is no table {folder!r}; there are: {', '.join(near) or 'none yet'}")
        yield table


def _local_values() -> Mapping[str, str]:
    """`Values` of `local.settings.json`; none if there is no such file. Raises ConfigError."""
    file = Path(_LOCAL)
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text("utf-8-sig"))
        values = {name: str(value) for name, value in found.get("Values", {}).items()}
    except (ValueError, AttributeError):
        raise ConfigError(f"{_LOCAL}: this is not JSON with an object `Values`") from None
    if found.get("IsEncrypted"):
        raise ConfigError(f"{_LOCAL} is encrypted: run `func settings decrypt`, or set DATA_STORAGE")
    return {"AZURE_FUNCTIONS_ENVIRONMENT": "Development", **values}


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def _days(first: str | None, last: str | None) -> str:
    return "none" if first is None else first if first == last else f"{first}..{last}"


def _cell(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def _print_rows(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] | set[int] = frozenset()
) -> None:
    """Columns as wide as they need to be; those in `right` to the right."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
