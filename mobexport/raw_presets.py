"""Presets of raw data mappings: the documented shapes of common producers.

A table for each producer and kind, as it would stand in `exports.toml`; docs/mappings.md is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Table = Mapping[str, Any]

PRESETS: Final[Mapping[str, Mapping[str, Table]]] = {}
