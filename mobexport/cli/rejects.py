"""The command `rejects`: the records of an export that could not be used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from mobexport.cli.account import open_storage
from mobexport.cli.connection import app_options, connect
from mobexport.cli.output import cell, json_option, print_json_line, print_rows
from mobexport.errors import NotFound

if TYPE_CHECKING:
    from mobexport.storage import DataStorage


@click.command()
@click.argument("export_id", metavar="ID")
@click.option(
    "-n", "--limit", type=click.IntRange(1), metavar="N", help="At most so many (default: 20, or all)."
)
@json_option
@app_options
def rejects(export_id: str, limit: int | None, as_json: bool) -> None:
    """Print the records of an export that could not be used.

    Each with place, rule, field and original, of the newest attempt. The app says which files hold
    them; they are read from the data account.
    """
    from mobexport.cli.app_api import AppApi

    export = AppApi(connect()).get_export(export_id)
    with open_storage() as storage:
        found = _rejects(storage, export)
        if as_json:
            for reject in islice(found, limit):
                print_json_line(reject)
            return
        rows = [_row(reject) for reject in islice(found, limit or 20)]
    if not rows:
        click.echo("no rejects", err=True)
        return
    print_rows(("element", "record", "rule", "field", "original"), rows, right={0, 1})
    total = (export["counts"] or {}).get("rejected", 0)
    if total > len(rows):
        click.echo(f"{len(rows):,} of {total:,}; all of them: --json", err=True)


def _rejects(storage: DataStorage, export: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rejects in the order of their files. Raises NotFound for an export without a manifest."""
    from mobexport.blob_paths import CURATED_CONTAINER, REJECTS_CONTAINER

    path = export["manifest"]
    manifest = storage.read_json(CURATED_CONTAINER, path) if path else None
    if manifest is None:
        raise NotFound(f"{export['id']} is {export['state']} and has no manifest: nothing was committed")
    for name in manifest["rejects"]:
        stream = storage.container(REJECTS_CONTAINER, create=False).download_blob(name)
        rest = b""
        for chunk in stream.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (json.loads(line) for line in lines if line)
        if rest:
            yield json.loads(rest)


def _row(reject: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("element", "record", "rule", "field", "original")
    return tuple(cell(reject.get(name)) for name in names)


COMMANDS: Final[tuple[click.Command, ...]] = (rejects,)
