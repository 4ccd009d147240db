"""The published schema of manifests, and what is wrong with one by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "manifest.schema.json").read_text("utf-8"))
_VALIDATOR = Draft202012Validator(SCHEMA)


def faults_of(manifest: Any) -> list[str]:
    """What is wrong with a manifest, with the place of each fault."""
    return [f"{error.json_path}: {error.message}" for error in _VALIDATOR.iter_errors(manifest)]
