"""The description of both APIs as one OpenAPI 3.1 document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mobexport.export_api import openapi as export_api
from mobexport.openapi_texts import explained, explained_parameters
from mobexport.pipeline import openapi as pipeline


def describe() -> dict[str, Any]:
    """The whole document, as JSON values: the pipeline's API, then the Export API.

    A half that `ROLE` switches off is in it too, and answers 503.
    """
    parts = (pipeline.describe(), export_api.describe())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mobile-engagement-export",
            "version": "1",
            "description": "\n\n".join(
                f"{part['info']['title']}: {part['info']['description']}" for part in parts
            ),
        },
        "servers": [{"url": "/api"}],
        "tags": [
            {"name": part["info"]["title"], "description": part["info"]["description"]} for part in parts
        ],
        "paths": {path: item for part in parts for path, item in _paths(part).items()},
        "components": {
            "schemas": {name: explained(name, one) for name, one in _components(parts, "schemas")},
            "securitySchemes": dict(_components(parts, "securitySchemes")),
        },
    }


def _components(parts: Sequence[dict[str, Any]], kind: str) -> list[tuple[str, Any]]:
    return [found for part in parts for found in part["components"][kind].items()]


def _paths(part: dict[str, Any]) -> dict[str, Any]:
    """Its paths, each operation with what the document says of all of them."""
    own = {"tags": [part["info"]["title"]], "security": part["security"]}
    return {
        path: explained_parameters(
            {
                name: {**own, **explained_parameters(one)} if isinstance(one, dict) else one
                for name, one in item.items()
            }
        )
        for path, item in part["paths"].items()
    }
