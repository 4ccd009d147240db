"""The formats of raw files: by the ending of a name, in any case, or as a mapping says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class RawFormat(StrEnum):
    """`format` of a mapping."""

    NDJSON = "ndjson"
    """One record a line."""
    JSON = "json"
    """One array of records, or lines; the first byte decides. Such a file is read in one piece."""
    TSV = "tsv"
    """Cells with tabs between, one record a line; a mapping says `columns`."""
    PARQUET = "parquet"
    AVRO = "avro"
    """Object container files; of Event Hubs Capture the bodies, which hold JSON."""


class Packing(StrEnum):
    """Compression around a format."""

    NONE = ""
    GZIP = "gzip"
    ZSTD = "zstd"


@dataclass(frozen=True)
class Stored:
    """What the bytes of a raw file are."""

    format: RawFormat
    packing: Packing = Packing.NONE


_PACKINGS: Final = {
    ".gz": Packing.GZIP, ".gzip": Packing.GZIP, ".zst": Packing.ZSTD, ".zstd": Packing.ZSTD,
}  # fmt: skip
_FORMATS: Final = {
    ".ndjson": RawFormat.NDJSON,
    ".jsonl": RawFormat.NDJSON,
    ".json": RawFormat.JSON,
    ".parquet": RawFormat.PARQUET,
    ".avro": RawFormat.AVRO,
}
UNMAPPED: Final = (".ndjson", ".parquet")
"""Endings (before that of a packing) that are read without a mapping."""


def split_ending(name: str) -> tuple[str, Packing]:
    """The ending of a file's name in lower case, without that of its packing, and the packing."""
    file = name.rpartition("/")[2].lower()
    stem, dot, last = file.rpartition(".")
    packing = _PACKINGS.get(dot + last, Packing.NONE)
    if packing:
        _, dot, last = stem.rpartition(".")
    return dot + last if dot else "", packing


def stored_as(name: str, encoding: str = "", said: str = "") -> Stored | None:
    """What a file is: its format as said, else by its name; packed by its name or its Content-Encoding.

    None for an ending that says nothing.
    """
    ending, packing = split_ending(name)
    found = RawFormat(said) if said else _FORMATS.get(ending)
    if found is None:
        return None
    if found in (RawFormat.PARQUET, RawFormat.AVRO):
        packing = Packing.NONE
    elif not packing and encoding in ("gzip", "zstd"):
        packing = Packing(encoding)
    return Stored(found, packing)
