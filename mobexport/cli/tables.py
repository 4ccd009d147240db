"""Commands over curated tables: `tables list`, `show`, `head`, `history`, `migrate`, and `head` alone."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Final

import click

from mobexport.cli.account import account_option, open_table, open_tables
from mobexport.cli.exits import Exit
from mobexport.cli.output import cell, json_option, print_json, print_json_line, print_rows

_SHOWN: Final = 20
_COUNT: Final = click.IntRange(1)
_TABLE: Final = click.argument("table", metavar="APP/TYPE")


@click.group()
def tables() -> None:
    """Look at curated Delta tables, and migrate to them."""


@tables.command("list")
@json_option
@account_option
def list_tables(as_json: bool) -> None:
    """List the tables: rows, files, bytes, days, version."""
    from mobexport.tables.looking import summarise

    with open_tables() as there:
        opened = ((folder, there.open(folder)) for folder in there.folders())
        found = [summarise(folder, table) for folder, table in opened if table is not None]
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        click.echo("no tables yet: an export that is committed makes its table", err=True)
        return
    print_rows(
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


@tables.command()
@_TABLE
@json_option
@account_option
def show(table: str, as_json: bool) -> None:
    """Show one table with its columns."""
    from mobexport.tables.looking import columns_of, summarise

    with open_table(table) as opened:
        summary, columns = summarise(table, opened), columns_of(opened)
        partitions = list(opened.metadata().partition_columns)
    if as_json:
        shown = {**asdict(summary), "partitions": partitions, "columns": [asdict(one) for one in columns]}
        print_json(shown)
        return
    print(f"{summary.table}, version {summary.version}")
    print(f"{summary.rows:,} rows, {summary.files:,} files, {summary.bytes:,} bytes")
    print(f"days {_days(summary.first_day, summary.last_day)}, partitions {', '.join(partitions)}\n")
    print_rows(
        ("column", "type", "null", "comment"),
        [(one.name, one.type, "yes" if one.nullable else "never", one.comment) for one in columns],
    )


@tables.command()
@_TABLE
@click.option("-n", "--rows", type=_COUNT, default=10, metavar="N", help="Rows (default: 10).")
@json_option
@account_option
def head(table: str, rows: int, as_json: bool) -> None:
    """Print the first rows of a table.

    --json: one object a line, values whole."""
    from mobexport.tables.looking import first_rows

    with open_table(table) as opened:
        names = [field.name for field in opened.schema().fields]
        found = first_rows(opened, rows)
    if as_json:
        for row in found:
            print_json_line(row)
        return
    print_rows(names, [[cell(row[name]) for name in names] for row in found])


@tables.command()
@_TABLE
@click.option(
    "-n", "--versions", type=_COUNT, default=_SHOWN, metavar="N", help=f"Versions (default: {_SHOWN})."
)
@json_option
@account_option
def history(table: str, versions: int, as_json: bool) -> None:
    """Print which export changed a table, newest first."""
    from mobexport.tables.looking import changes

    with open_table(table) as opened:
        found = changes(opened, versions)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    print_rows(
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


@tables.command()
@click.option("--dry-run", is_flag=True, help="Look at everything and change nothing.")
@json_option
@account_option
def migrate(dry_run: bool, as_json: bool) -> int:
    """Migrate data with pointers to tables, once."""
    from mobexport.tables.migration import migrate as migrate_all

    def say(line: str) -> None:
        print(line, file=sys.stderr if as_json else sys.stdout, flush=True)

    with open_tables() as there:
        found = migrate_all(there.storage, there, is_trial=dry_run, say=say)
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        verb = "would be" if dry_run else "are"
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
    return Exit.BAD_RESULT if any(one.problem for one in found) else Exit.OK


COMMANDS: Final[tuple[click.Command, ...]] = (head, tables)


def _days(first: str | None, last: str | None) -> str:
    return "none" if first is None else first if first == last else f"{first}..{last}"
