"""Wire format of the Export API: bodies, query options and states, for both halves.

Source: the public specification `Microsoft.MobileEngagement` 2014-12-01 (docs/export-api.md). Names are
written in camelCase and read in any case, since an early revision of the specification wrote PascalCase.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from mobexport.errors import Problem, RequestError
from mobexport.export_types.model import Parameters
from mobexport.records.formats import ExportFormat

API_VERSION: Final = "2014-12-01"
MAX_TOP: Final = 40
DEFAULT_TOP: Final = 20
MAX_DESCRIPTION: Final = 8192
"""Characters; a cell of a table holds 32,767 UTF-16 units."""
MAX_CONTAINER_URL: Final = 8192
MAX_CAMPAIGNS: Final = 1000
MAX_DAYS: Final = 3660
"""Days in one date range: each is a folder to look into."""
FIRST_DAY: Final = date(1970, 1, 1)
ORDER_FIELDS: Final = ("taskId", "errorDetails", "dateCreated", "taskStatus")


# RFC 3339, section 5.6; "T" and "Z" in any case.
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)

CampaignType = Literal["Announcement", "DataPush", "NativePush", "Poll"]


def _whole_number(value: Any) -> Any:
    # JSON has one kind of number: 7.0 is 7. Text and booleans are not numbers.
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("must be a whole number")


CampaignId = Annotated[int, Field(ge=-(2**63), le=2**63 - 1), BeforeValidator(_whole_number)]


def read_day(value: Any) -> date:
    """The day in a value of a body. Raises ValueError with the rule."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            if (day := date.fromisoformat(value)) >= FIRST_DAY:
                return day
        except ValueError:
            pass
    raise ValueError(f"must be a date such as 2025-03-23, not before {FIRST_DAY}")


def read_instant(value: Any) -> datetime:
    """The instant in a value of a body, in UTC. Raises ValueError with the rule.

    One whose offset leads out of the years 1 to 9999 is none.
    """
    if isinstance(value, str) and _DATE_TIME.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise ValueError("must be a time with an offset, such as 2025-03-23T00:00:00Z")


def not_come(day: date, today: date) -> str | None:
    """Why a window cannot end on that UTC day: it has not come. Today has, though it is not over."""
    return f"has not come yet: today is {today} (UTC)" if day > today else None


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

    container_url: str = Field(
        repr=False, max_length=MAX_CONTAINER_URL, json_schema_extra={"writeOnly": True}
    )
    """URL of a container with a SAS that may write; a secret."""
    export_format: ExportFormat
    description: str | None = Field(default=None, max_length=MAX_DESCRIPTION)

    @field_validator("container_url")
    @classmethod
    def _usable(cls, value: str, info: ValidationInfo) -> str:
        if info.context:
            try:
                info.context(value)
            except RequestError as error:
                raise PydanticCustomError(error.own_code, "{rule}", {"rule": error.problems[0][1]}) from None
        return value

    @field_validator("description")
    @classmethod
    def _text(cls, value: str | None) -> str | None:
        # UTF-8 cannot say half of a surrogate pair, so it could not come back as it went in.
        if value and any("\ud800" <= char <= "\udfff" for char in value):
            raise ValueError("must be Unicode text, without halves of surrogate pairs")
        return value


class DateRangeExportTaskParameter(ExportTaskParameter):
    """Body of a historical export's POST: both days included, in UTC."""

    start_date: date
    end_date: date

    @field_validator("start_date", "end_date", mode="before")
    @classmethod
    def _full_date(cls, value: Any) -> Any:
        return read_day(value)

    @field_validator("end_date")
    @classmethod
    def _ordered(cls, value: date, info: ValidationInfo) -> date:
        start = info.data.get("start_date")
        if start and start > value:
            raise ValueError("startDate must not be after endDate")
        if start and (value - start).days >= MAX_DAYS:
            raise ValueError(f"must be less than {MAX_DAYS} days after startDate")
        return value


class _Feedback(ExportTaskParameter):
    campaign_type: CampaignType


class FeedbackByDateRangeParameter(_Feedback):
    """Body of feedbackByDate: both instants included."""

    campaign_window_start: datetime
    campaign_window_end: datetime

    @field_validator("campaign_window_start", "campaign_window_end", mode="before")
    @classmethod
    def _instant(cls, value: Any) -> Any:
        return read_instant(value)

    @field_validator("campaign_window_end")
    @classmethod
    def _ordered(cls, value: datetime, info: ValidationInfo) -> datetime:
        start = info.data.get("campaign_window_start")
        if start and start > value:
            raise ValueError("campaignWindowStart must not be after campaignWindowEnd")
        return value


class FeedbackByCampaignParameter(_Feedback):
    """Body of feedbackByCampaign."""

    campaign_ids: tuple[CampaignId, ...] = Field(json_schema_extra={"minItems": 1, "maxItems": MAX_CAMPAIGNS})

    @field_validator("campaign_ids", mode="before")
    @classmethod
    def _some(cls, value: Any) -> Any:
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_CAMPAIGNS:
            raise ValueError(f"must be a list of 1 to {MAX_CAMPAIGNS} whole numbers")
        return value


PARAMETERS: Final[Mapping[Parameters, type[ExportTaskParameter]]] = {
    Parameters.SNAPSHOT: ExportTaskParameter,
    Parameters.DATES: DateRangeExportTaskParameter,
    Parameters.FEEDBACK_DATES: FeedbackByDateRangeParameter,
    Parameters.FEEDBACK_CAMPAIGNS: FeedbackByCampaignParameter,
}
"""The body of a route by the name of its parameters."""


Count = Annotated[int, Field(ge=0, le=2**53, strict=True)]


class RecordCounts(_Wire):
    """What became of a task's raw records: `read = rejected + outside + superseded + removed + exported`.

    The member `counts` of a task that succeeded. It is this server's own, beyond the specification: clients
    pass over members they do not know.
    """

    read: Count
    rejected: Count
    outside: Count
    superseded: Count
    removed: Count
    exported: Count
    files: Count | None = None
    """Raw files that were read."""
    ignored_files: Count | None = None
    """Files beside them that are no raw files by their names."""
    days_read: list[Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]] | None = Field(
        None, min_length=2, max_length=2
    )
    """First and last day of the folders that were looked into; absent: all of them were."""
    late_filed: Count | None = None
    """Records read that were filed further from their day than that: others of these days may lie further."""
    rules: dict[str, Count] = {}
    """Rejects by `rule`, or `rule:field`."""
    rejects: str | None = None
    """Container and path of the rejects, in the server's account."""
    empty: str | None = None
    """Why nothing was exported, for a person."""


class ExportTaskResult(_Wire):
    """An export task as the API shows it. It names no output file."""

    id: str
    description: str | None = None
    state: str
    date_created: str
    date_completed: str | None = None
    export_type: str
    error_details: str | None = None
    counts: RecordCounts | None = None

    def to_json(self) -> dict[str, Any]:
        """camelCase, absent fields left out."""
        return self.model_dump(by_alias=True, exclude_none=True)


class ListOptions(_Wire):
    """`$skip`, `$top` and `$orderby` of the list call."""

    skip: int = Field(default=0, ge=0)
    top: int = Field(default=DEFAULT_TOP, ge=1, le=MAX_TOP)
    order_by: str = "taskId"
    descending: bool = False

    def next(self) -> ListOptions:
        """The options of the page behind this one."""
        return self.model_copy(update={"skip": self.skip + self.top})

    def to_query(self) -> dict[str, str]:
        """As the query of the list call."""
        direction = "desc" if self.descending else "asc"
        return {"$skip": str(self.skip), "$top": str(self.top), "$orderby": f"{self.order_by} {direction}"}


_Model = TypeVar("_Model", bound=_Wire)


def parse(
    model: type[_Model], body: Any, check_container_url: Callable[[str], object] | None = None
) -> _Model:
    """The body as that model; names in any case, unknown ones tolerated.

    `check_container_url` raises RequestError for a container URL that must not be used. Raises RequestError
    that lists every problem by the field's name on the wire.
    """
    if not isinstance(body, Mapping):
        raise RequestError(
            "the body must be a JSON object", problems=[Problem("body", "must be a JSON object")]
        )
    known = {to_camel(name).lower(): to_camel(name) for name in model.model_fields}
    fields: dict[str, Any] = {}
    problems: list[Problem] = []
    codes: set[str] = set()
    for key, value in body.items():
        name = known.get(key.lower())
        if name in fields:
            problems.append(Problem(name, "is given twice, in two spellings"))
        elif name:
            fields[name] = value
    try:
        found = model.model_validate(fields, context=check_container_url)
        if not problems:
            return found
    except ValidationError as error:
        for item in error.errors(include_input=False, include_url=False):
            codes.add(item["type"])
            message = str(item["msg"]).removeprefix("Value error, ")
            problems.append(Problem(".".join(map(str, item["loc"])) or "body", message))
    only = codes.pop() if len(problems) == 1 and codes else ""
    raise RequestError.of(problems, code=only if only[:1].isupper() else None)


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
        raise RequestError.of(problems)
    return ListOptions(
        skip=numbers["$skip"],
        top=numbers["$top"],
        order_by=names[field.lower()],
        descending=direction.strip().lower() == "desc",
    )


def error_body(code: str, message: str) -> dict[str, Any]:
    """`{"error": {"code", "message"}}`."""
    return {"error": {"code": code, "message": message}}
