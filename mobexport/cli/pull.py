"""The command `pull`: the files of a table, or of an export, to this machine.

Every file is checked against the sha256 in its manifest. What is here already stays, and a file that was
begun goes on where it stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mobexport.cli.account import find_table, open_storage
from mobexport.cli.connection import app_options, connect
from mobexport.cli.exits import Exit
from mobexport.cli.output import bar, json_option, print_json
from mobexport.errors import DataError, NotFound

if TYPE_CHECKING:
    from mobexport.storage import DataStorage

_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True)
class Wanted:
    """One file to fetch."""

    container: str
    name: str
    bytes: int
    sha256: str | None
    """None for what no manifest names, such as a compacted file: its size alone is checked."""


@dataclass(frozen=True)
class Pulled:
    """One file as it is here now."""

    path: str
    bytes: int
    checked: str
    """`sha256`, or `size`."""
    outcome: str
    """`fetched`, `resumed`, `there`, or `wrong`: not what the manifest says, and not kept."""


@click.command()
@click.argument("what", metavar="ID|APP/TYPE")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("pulled"),
    metavar="DIR",
    help="Where to write (default: pulled).",
)
@click.option("--collected", is_flag=True, help="Of an export: the files as the Export API wrote them.")
@json_option
@app_options
def pull(what: str, folder: Path, collected: bool, as_json: bool) -> int:
    """Fetch the Parquet files of a table, or of one export.

    Each is checked against its manifest. May be repeated: what is here and right is not fetched again.
    """
    if collected and "/" in what:
        raise click.UsageError("--collected needs the id of an export", click.get_current_context())
    with open_storage() as storage:
        wanted = _of_table(storage, what) if "/" in what else _of_export(storage, what, collected)
        with bar(what, sum(file.bytes for file in wanted)) as advance:
            pulled = [
                fetch(storage, file, folder.resolve() / file.container / file.name, advance)
                for file in wanted
            ]
    wrong = [file for file in pulled if file.outcome == "wrong"]
    if as_json:
        print_json([asdict(file) for file in pulled])
    else:
        for file in wrong:
            click.echo(f"{file.path}: not what the manifest says; not kept", err=True)
        fetched = sum(file.outcome in ("fetched", "resumed") for file in pulled)
        size = sum(file.bytes for file in pulled)
        sums = sum(file.checked == "sha256" for file in pulled)
        click.echo(
            f"{folder}: {len(pulled):,} files, {size:,} bytes; {fetched:,} fetched,"
            f" {len(pulled) - fetched - len(wrong):,} there, {len(wrong):,} wrong; {sums:,} checked by sha256"
        )
    return Exit.BAD_RESULT if wrong else Exit.OK


def fetch(storage: DataStorage, file: Wanted, target: Path, advance: Callable[[int], None]) -> Pulled:
    """Fetches one file, unless it is there. Raises SourceChanged, NotFound, DataError."""
    if ".." in target.parts:
        raise DataError(f"{file.container}/{file.name}: a name that leads elsewhere is not written")
    checked = "sha256" if file.sha256 else "size"
    if target.is_file() and _is_right(target, file):
        advance(file.bytes)
        return Pulled(str(target), file.bytes, checked, "there")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Named after what is in it: the rest of another file is never taken for this one's.
    part = target.with_name(f"{target.name}.{(file.sha256 or str(file.bytes))[:12]}.part")
    begun = part.stat().st_size if part.is_file() else 0
    if begun > file.bytes:
        part.unlink()
        begun = 0
    advance(begun)
    blob = _find(storage, file)
    with part.open("ab") as out:
        for chunk in storage.read_chunks(file.container, blob, begun):
            out.write(chunk)
            advance(len(chunk))
    if not _is_right(part, file):
        part.unlink()
        return Pulled(str(target), file.bytes, checked, "wrong")
    part.replace(target)
    return Pulled(str(target), file.bytes, checked, "resumed" if begun else "fetched")


def _find(storage: DataStorage, file: Wanted) -> Any:
    found = next(
        (blob for blob in storage.list_blobs(file.container, file.name) if blob.name == file.name), None
    )
    if found is None:
        raise NotFound(f"{file.container}/{file.name} is gone: a newer export replaced it; pull the table")
    return found


def _is_right(path: Path, file: Wanted) -> bool:
    if path.stat().st_size != file.bytes:
        return False
    if file.sha256 is None:
        return True
    found = hashlib.sha256()
    with path.open("rb") as data:
        while chunk := data.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest() == file.sha256


def _of_export(storage: DataStorage, export_id: str, collected: bool) -> list[Wanted]:
    """The files of an export's newest attempt. Raises NotFound if it has no manifest."""
    from mobexport.blob_paths import CURATED_CONTAINER, EXPORTS_CONTAINER
    from mobexport.cli.app_api import AppApi

    export = AppApi(connect()).get_export(export_id)
    path = export["manifest"]
    manifest = storage.read_json(CURATED_CONTAINER, path) if path else None
    if manifest is None:
        raise NotFound(f"{export_id} is {export['state']} and has no manifest: there is nothing to pull")
    container, files = (
        (EXPORTS_CONTAINER, manifest["inputs"]) if collected else (CURATED_CONTAINER, manifest["outputs"])
    )
    return [Wanted(container, one["path"], one["bytes"], one["sha256"]) for one in files]


def _of_table(storage: DataStorage, folder: str) -> list[Wanted]:
    """The files that count in a table now, with the sums of those that a manifest names."""
    from mobexport.blob_paths import CURATED_CONTAINER
    from mobexport.tables.active_files import active_files
    from mobexport.tables.tables import Tables, as_our_errors

    with as_our_errors(folder):
        files = list(active_files(find_table(Tables(storage), folder), None))
    sums = dict(_sums(storage, folder, {file.path.rpartition("/")[2] for file in files}))
    names = ((f"{folder}/{file.path}", file.bytes) for file in files)
    return [Wanted(CURATED_CONTAINER, name, size, sums.get(name)) for name, size in names]


def _sums(storage: DataStorage, folder: str, names: set[str]) -> Iterator[tuple[str, str]]:
    """sha256 by the path of each output of the manifests that wrote these files."""
    from mobexport.blob_paths import CURATED_CONTAINER

    for blob in storage.list_blobs(CURATED_CONTAINER, f"_manifests/{folder}/"):
        attempt = blob.name.rpartition("/")[2].removesuffix(".json")
        if any(name.startswith(f"{attempt}-") for name in names):
            manifest: Mapping[str, Any] = storage.read_json(CURATED_CONTAINER, blob.name) or {}
            for output in manifest.get("outputs", ()):
                yield output["path"], output["sha256"]


COMMANDS: Final[tuple[click.Command, ...]] = (pull,)
