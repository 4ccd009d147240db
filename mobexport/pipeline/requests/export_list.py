"""The query of the list of exports: filters over the registry's table, limit and continuation."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mobexport import export_types
from mobexport.clock import stamp
from mobexport.config import APP_NAME
from mobexport.errors import Problem, RequestError, UnknownExportType
from mobexport.pipeline.registry.keys import key_range
from mobexport.pipeline.registry.states import State
from mobexport.untrusted import Unfit, parse_json

MAX_LIMIT: Final = 200
DEFAULT_LIMIT: Final = 50
# The keys of a row, of 1 KiB each, in JSON and base64.
_MAX_TOKEN: Final = 4096
FORGED: Final = Problem("continuation", "must be what an earlier answer's links.next says")
OPTIONS: Final = ("app", "exportType", "state", "createdFrom", "createdTo", "limit", "continuation")


@dataclass(frozen=True)
class ListQuery:
    """Filters that are None do not filter; times are RFC 3339 in UTC, `created_to` excluded."""

    app: str | None = None
    export_type: str | None = None
    states: tuple[State, ...] = ()
    created_from: str | None = None
    created_to: str | None = None
    limit: int = DEFAULT_LIMIT
    continuation: Mapping[str, str] | None = None

    def filter(self) -> str:
        """OData over the columns of the registry; values from callers go into parameters."""
        terms = [key_range(self.created_from, self.created_to)]
        terms += ["app eq @app"] if self.app else []
        terms += ["exportType eq @type"] if self.export_type else []
        if self.states:
            # Literals: they are our own words, and the SDK replaces no parameter next to a bracket.
            terms.append("(" + " or ".join(f"state eq '{state}'" for state in self.states) + ")")
        return " and ".join(terms)

    def parameters(self) -> dict[str, Any]:
        """Values for `filter`."""
        named = {"app": self.app, "type": self.export_type}
        return {name: value for name, value in named.items() if value is not None}

    def token(self) -> dict[str, str] | None:
        """The table's own continuation."""
        return dict(self.continuation) if self.continuation else None


def parse_list_query(query: Mapping[str, str]) -> ListQuery:
    """The query of `GET /api/exports`; `state` may name several, separated by commas.

    Raises RequestError that names every option that is wrong or unknown.
    """
    names = {name.lower(): name for name in OPTIONS}
    # A function key may stand in the query too.
    given = {name.lower(): value for name, value in query.items() if name.lower() != "code"}
    problems = [
        Problem(name, f"is not an option of this list; there are: {', '.join(OPTIONS)}")
        for name in given
        if name not in names
    ]
    app = parse_app(given, problems)
    export_type = None
    if wanted := given.get("exporttype"):
        try:
            export_type = export_types.get(wanted).name
        except UnknownExportType as error:
            problems.append(Problem("exportType", error.message))
    states = _states(given.get("state", ""), problems)
    times = [_time(names[name], given.get(name), problems) for name in ("createdfrom", "createdto")]
    limit = parse_limit(given, problems)
    continuation = parse_token(given, problems)
    if problems:
        raise RequestError.of(problems)
    return ListQuery(app, export_type, states, times[0], times[1], limit, continuation)


def parse_app(given: Mapping[str, str], problems: list[Problem]) -> str | None:
    """The option `app` of a list."""
    if (app := given.get("app")) and not APP_NAME.fullmatch(app):
        problems.append(Problem("app", "is no name that an app can have"))
    return app


def parse_limit(given: Mapping[str, str], problems: list[Problem]) -> int:
    """The option `limit` of a list."""
    limit = given.get("limit", str(DEFAULT_LIMIT))
    if re.fullmatch(r"[0-9]{1,3}", limit) and 1 <= int(limit) <= MAX_LIMIT:
        return int(limit)
    problems.append(Problem("limit", f"must be a whole number from 1 to {MAX_LIMIT}"))
    return 1


def encode_token(token: Mapping[str, str] | None) -> str | None:
    """The table's continuation as one opaque word for a URL."""
    return base64.urlsafe_b64encode(json.dumps(dict(token)).encode()).decode() if token else None


def parse_token(given: Mapping[str, str], problems: list[Problem]) -> Mapping[str, str] | None:
    """The option `continuation` of a list, as the table's own."""
    text = given.get("continuation")
    if not text:
        return None
    try:
        token = parse_json(base64.urlsafe_b64decode(text.encode("ascii")), _MAX_TOKEN)
        if (
            isinstance(token, dict)
            and token.keys() == {"PartitionKey", "RowKey"}
            and all(isinstance(one, str) for one in token.values())
        ):
            return token
    except (ValueError, Unfit):
        pass
    problems.append(FORGED)
    return None


def _states(text: str, problems: list[Problem]) -> tuple[State, ...]:
    known = {state.lower(): state for state in State}
    wanted = [name for name in text.lower().split(",") if name]
    if unknown := [name for name in wanted if name not in known]:
        problems.append(Problem("state", f"{unknown[0][:40]!r} is none of {', '.join(State)}"))
    return tuple(dict.fromkeys(known[name] for name in wanted if name in known))


def _time(name: str, text: str | None, problems: list[Problem]) -> str | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return stamp(found if found.tzinfo else found.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        problems.append(Problem(name, "must be a day or a time such as 2025-03-23T00:00:00Z"))
        return None
