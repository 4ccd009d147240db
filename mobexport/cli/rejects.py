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

    Each with place, rule, field and original, of the newest attempt: those of the raw data, then those of
    the export file. The app says which files hold them; they are read from the data account.
    """
    from mobexport.cli.app_api import AppApi
    from mobexport.pipeline.account import total_rejected

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
    print_rows(("place", "rule", "field", "original"), rows)
    total = total_rejected(export["counts"])[0] if export["counts"] else 0
    if total > len(rows):
        click.echo(f"{len(rows):,} of {total:,}; all of them: --json", err=True)


def _rejects(storage: DataStorage, export: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rejects in the order of their files. Raises NotFound for an export whose counts are not known."""
    from mobexport.blob_paths import CURATED_CONTAINER, REJECTS_CONTAINER
    from mobexport.pipeline.requests.reject_samples import own_raw_rejects

    path = export["manifest"]
    manifest = storage.read_json(CURATED_CONTAINER, path) if path else None
    raw = own_raw_rejects(export["counts"], export["app"], export["jobId"]) if export["counts"] else None
    if manifest is None and raw is None:
        raise NotFound(f"{export['id']} is {export['state']} and has no manifest: nothing was committed")
    names = [raw.removeprefix(f"{REJECTS_CONTAINER}/")] if raw else []
    for name in [*names, *(manifest["rejects"] if manifest else ())]:
        stream = storage.container(REJECTS_CONTAINER, create=False).download_blob(name)
        rest = b""
        for chunk in stream.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (json.loads(line) for line in lines if line)
        if rest:
            yield json.loads(rest)


def _row(reject: Mapping[str, Any]) -> tuple[str, ...]:
    in_raw, in_file = ("file", "line"), ("element", "record")
    place = ":".join(
        str(reject[name]) for name in (in_raw if "file" in reject else in_file) if name in reject
    )
    return (cell(place), *(cell(reject.get(name)) for name in ("rule", "field", "original")))


COMMANDS: Final[tuple[click.Command, ...]] = (rejects,)
