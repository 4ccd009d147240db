"""Groups: their keys, which order an export file, and their fields. Source: design, section 3, "Order"."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from mobexport.export_types.model import ExportType
from mobexport.records.json_text import quote

DIGEST: Final = 16
"""Bytes of a key's beginning: the MD5 of the group's values, joined by U+001F."""


def key_of(values: Sequence[Any]) -> bytes:
    """The key of a group: the digest, then its values as JSON, joined by U+001F; absent ones are empty."""
    text = "\x1f".join("" if value is None else str(value) for value in values)
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return digest + b"\x1f".join(b"" if value is None else quote(value) for value in values)


def group_members(export_type: ExportType, key: bytes) -> bytes:
    """The group's fields as members of an object, from its key."""
    return b",".join(
        b'"%b":%b' % (field.name.encode(), token)
        for field, token in zip(export_type.group_fields, key[DIGEST:].split(b"\x1f"), strict=True)
        if token
    )


def group_values(key: bytes) -> list[Any]:
    """The values of a group, from its key."""
    return [msgspec.json.decode(token) if token else None for token in key[DIGEST:].split(b"\x1f")]
