"""Checks of what the pipeline notes between its steps: it names nothing but what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from mobexport.blob_paths import COMPLETE, output_stem
from mobexport.errors import DataError
from mobexport.pipeline.registry.export_row import ExportRow
from mobexport.wire import AttemptRef


def check_complete(row: ExportRow, complete: Any) -> None:
    """Passes the list of an attempt's collected files. Raises DataError."""
    try:
        own = AttemptRef(complete["exportId"], complete["attempt"])
        fits = own == row.ref and all(
            file["name"].startswith(row.folder) and file["etag"] for file in complete["files"]
        )
    except (KeyError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise _wrong(row, row.folder + COMPLETE)


def check_conversion(row: ExportRow, index: int, found: Any) -> None:
    """Passes what became of a collected file, or of a part of it. Raises DataError."""
    try:
        fits = all(name.startswith(begin) for name, begin in _names(row, index, found))
    except (KeyError, TypeError, AttributeError, ValueError):
        fits = False
    if not fits:
        raise _wrong(row, f"{row.folder}_converted/{index}")


def _names(row: ExportRow, index: int, found: Any) -> Iterator[tuple[str, str]]:
    """Each path that a conversion names, and how it must begin."""
    stem = output_stem(row.ref, index)
    for output in found["outputs"]:
        yield output["path"], row.day_folder(date.fromisoformat(output["date"])) + stem
    if found["rejects"] is not None:
        yield found["rejects"], f"export/{row.request.app}/{stem}"
    if found["input"]:
        yield found["input"]["path"], row.folder


def _wrong(row: ExportRow, name: str) -> DataError:
    return DataError(
        f"exports/{name} does not fit attempt {row.attempt} of export {row.id!r}: somebody changed it;"
        " ask again, with rerun",
        code="WrongBookkeeping",
    )
