"""Bodies for the API out of the fields of forms; pure. The API itself says what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from mobexport.errors import RequestError
from mobexport.pages.posts import Fields

_WHOLE: Final = re.compile(r"-?[0-9]{1,19}")
_TEXTS: Final = (
    *("exportType", "app", "startDate", "endDate", "format", "containerUrl"),
    *("campaignType", "campaignWindowStart", "campaignWindowEnd"),
)
SECRETS: Final = frozenset({"containerUrl"})
"""Fields that are not shown again."""


def export_body(fields: Fields) -> dict[str, Any]:
    """The body of `POST /api/exports`."""
    body: dict[str, Any] = {name: fields[name][0].strip() for name in _TEXTS if name in fields}
    if "campaignIds" in fields:
        body["campaignIds"] = [_number(one) for one in re.split(r"[,\s]+", fields["campaignIds"][0].strip())]
    return body | _shared(fields)


def batch_body(fields: Fields) -> dict[str, Any]:
    """The body of `POST /api/batches`."""
    body: dict[str, Any] = {
        name: fields[name][0].strip() for name in ("app", "startDate", "endDate") if name in fields
    }
    if "exportTypes" in fields:
        body["exportTypes"] = fields["exportTypes"]
    for name in ("windowDays", "parallel"):
        if name in fields:
            body[name] = _number(fields[name][0].strip())
    return body | _shared(fields)


def _shared(fields: Fields) -> dict[str, Any]:
    chosen: dict[str, Any] = {"notify": fields["notify"]} if "notify" in fields else {}
    return chosen | ({"rerun": True} if "rerun" in fields else {})


def _number(text: str) -> Any:
    """A whole number; other text stays what it is, for the API to complain about."""
    return int(text) if _WHOLE.fullmatch(text) else text


def given(fields: Fields) -> Callable[[str], str]:
    """What a form shows again in each of its fields."""
    return lambda name: "" if name in SECRETS else fields.get(name, [""])[0]


def problems_of(error: RequestError) -> dict[str, str]:
    """What is wrong, by field; what is of no field under `request`."""
    return dict(error.problems) or {"request": error.message}
