"""Requests and responses of Durable's HTTP API; JSON as the host writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ApiRequest:
    """One call; names in `query` are lower-case, `path` is relative to the API's base."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    origin: str
    url: str

    @property
    def media_type(self) -> str:
        """Lower-case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True)
class ApiResponse:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def json_answer(status: int, value: Any, **headers: str) -> ApiResponse:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return ApiResponse(
        status,
        compact(value).encode(),
        {"Content-Type": "application/json; charset=utf-8", **named},
    )


def problem(status: int, message: str, detail: str | None = None, kind: str = "") -> ApiResponse:
    body = {"Message": message}
    if detail is not None:
        body |= {"ExceptionMessage": detail, "ExceptionType": kind, "StackTrace": "   at devhost"}
    return json_answer(status, body)
