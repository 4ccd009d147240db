"""The wire of the Export API: bodies, query options and states, as both halves read and write them.

Source: the public specification `Microsoft.MobileEngagement` 2014-12-01 (docs/export-api.md). Names are
written in camelCase and read in any case, since an early revision of the specification wrote PascalCase.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

from mobexport.errors import Problem, RequestError

API_VERSION: Final = "2014-12-01"
MAX_TOP: Final = 40
DEFAULT_TOP: Final = 20
MAX_DESCRIPTION: Final = 1024
ORDER_FIELDS: Final = ("taskId", "errorDetails", "dateCreated", "taskStatus")


class TaskState(StrEnum):
    """Life of an export task: Queued → Started → Succeeded | Failed."""

    QUEUED = "Queued"
    STARTED = "Started"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class _Wire(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        str_strip_whitespace=False,
    )


class ExportTaskParameter(_Wire):
    """Body of a snapshot's POST."""

    container_url: str = Field(repr=False, max_length=8192)
    """URL of a container with a SAS that may write; a secret."""
    export_format: Literal["JsonBlob"]
    description: str | None = Field(default=None, max_length=MAX_DESCRIPTION)


class DateRangeExportTaskParameter(ExportTaskParameter):
    """Body of a historical export's POST: both days included, in UTC."""

    start_date: date
    end_date: date

    @field_validator("start_date", "end_date", mode="before")
    @classmethod
    def _full_date(cls, value: Any) -> Any:
        if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            raise ValueError("must be a date such as 2025-03-23")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> DateRangeExportTaskParameter:
        if self.start_date > self.end_date:
            raise ValueError("startDate must not be after endDate")
        return self


class ExportTaskResult(_Wire):
    """An export task as the API shows it. It names no output file."""

    id: str
    description: str | None = None
    state: str
    date_created: str
    date_completed: str | None = None
    export_type: str
    error_details: str | None = None

    def to_json(self) -> dict[str, Any]:
        """camelCase, absent fields left out."""
        return self.model_dump(by_alias=True, exclude_none=True)


class ListOptions(_Wire):
    """`$skip`, `$top` and `$orderby` of the list call."""

    skip: int = Field(default=0, ge=0)
    top: int = Field(default=DEFAULT_TOP, ge=1, le=MAX_TOP)
    order_by: str = "taskId"
    descending: bool = False


_Model = TypeVar("_Model", bound=_Wire)


def parse(model: type[_Model], body: Any) -> _Model:
    """The body as that model; names in any case, unknown ones tolerated.

    Raises RequestError that lists every problem by the field's name on the wire.
    """
    if not isinstance(body, Mapping):
        raise RequestError(
            "the body must be a JSON object", problems=[Problem("body", "must be a JSON object")]
        )
    known = {to_camel(name).lower(): to_camel(name) for name in model.model_fields}
    fields = {known[key.lower()]: value for key, value in body.items() if key.lower() in known}
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problems = [
            Problem(".".join(map(str, item["loc"])) or "body", str(item["msg"]).removeprefix("Value error, "))
            for item in error.errors(include_input=False, include_url=False)
        ]
    raise RequestError("; ".join(f"{field}: {message}" for field, message in problems), problems=problems)


def check_api_version(query: Mapping[str, str]) -> None:
    """Raises RequestError unless the query, its names in any case, asks for this version of the API."""
    given = {name.lower(): value for name, value in query.items()}
    if given.get("api-version") != API_VERSION:
        raise RequestError(
            f"the query must have api-version={API_VERSION}", code="InvalidApiVersionParameter"
        )


def parse_list_options(query: Mapping[str, str]) -> ListOptions:
    """The list call's options; names of query options are read in any case.

    Raises RequestError naming the option that is out of range or unknown.
    """
    given = {name.lower(): value for name, value in query.items()}
    problems = []
    numbers: dict[str, int] = {}
    for name, low, high, default in (("$skip", 0, 2**31 - 1, 0), ("$top", 1, MAX_TOP, DEFAULT_TOP)):
        text = given.get(name, str(default))
        if re.fullmatch(r"[0-9]{1,10}", text) and low <= int(text) <= high:
            numbers[name] = int(text)
        else:
            limit = f"from {low} to {high}" if name == "$top" else "of 0 or more"
            problems.append(Problem(name, f"must be a whole number {limit}"))
    field, _, direction = given.get("$orderby", "taskId asc").strip().partition(" ")
    names = {name.lower(): name for name in ORDER_FIELDS}
    if field.lower() not in names or direction.strip().lower() not in ("", "asc", "desc"):
        problems.append(Problem("$orderby", f"must be one of {', '.join(ORDER_FIELDS)}, then asc or desc"))
    if problems:
        raise RequestError("; ".join(f"{name} {message}" for name, message in problems), problems=problems)
    return ListOptions(
        skip=numbers["$skip"],
        top=numbers["$top"],
        order_by=names[field.lower()],
        descending=direction.strip().lower() == "desc",
    )


def error_body(code: str, message: str) -> dict[str, Any]:
    """`{"error": {"code", "message"}}`."""
    return {"error": {"code": code, "message": message}}
