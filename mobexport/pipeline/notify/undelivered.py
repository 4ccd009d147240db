"""Notifications that were not delivered: list them, and send one again; pure but for `Notifications`.

A notification is one delivery in an export's row, named by its target (`ops`, of a finding
`ops~schema-drift`). Its event is kept until it was delivered, so that what is sent again has the same id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from mobexport.clock import stamp
from mobexport.config import ExportsConfig
from mobexport.errors import Conflict, NotFound, Problem, RequestError
from mobexport.pipeline.registry.export_row import FAILED, PENDING, ExportRow, event_key
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.requests.export_list import (
    DEFAULT_LIMIT,
    parse_app,
    parse_limit,
    parse_token,
)

OPTIONS: Final = ("state", "app", "limit", "continuation")
STATES: Final[Mapping[str, frozenset[str]]] = {"failed": frozenset({FAILED}), "pending": PENDING}
"""What the list can be asked for, and the states of deliveries that it means."""


@dataclass(frozen=True)
class Notification:
    """One event of an export's attempt to one target."""

    export_id: str
    app: str
    export_type: str
    attempt: int
    name: str
    """`ops`, of a finding `ops~schema-drift`."""
    event: str
    """`completed`, `failed`, or the kind of the finding."""
    state: str
    """`Pending`, `Retrying`, `Delivered` or `Failed`."""
    tries: int
    at: str | None
    """Last try, RFC 3339 in UTC."""
    error: str | None
    resent: int
    """How often it was sent again on somebody's wish."""
    event_kept: bool

    @property
    def target(self) -> str:
        """Name of the target in `exports.toml`."""
        return self.name.partition("~")[0]


@dataclass(frozen=True)
class NotificationQuery:
    """The query of the list; `limit` counts exports."""

    state: str = "failed"
    app: str | None = None
    limit: int = DEFAULT_LIMIT
    continuation: Mapping[str, str] | None = None


def parse_query(query: Mapping[str, str]) -> NotificationQuery:
    """The query of `GET /api/notifications`. Raises RequestError that names every wrong option."""
    # A function key may stand in the query too.
    given = {name.lower(): value for name, value in query.items() if name.lower() != "code"}
    problems = [
        Problem(name, f"is not an option of this list; there are: {', '.join(OPTIONS)}")
        for name in given
        if name not in OPTIONS
    ]
    state = given.get("state") or "failed"
    if state not in STATES:
        problems.append(Problem("state", f"must be one of {', '.join(STATES)}"))
    app = parse_app(given, problems)
    limit = parse_limit(given, problems)
    continuation = parse_token(given, problems)
    if problems:
        raise RequestError.of(problems)
    return NotificationQuery(state, app, limit, continuation)


def notifications(row: ExportRow) -> list[Notification]:
    """Every notification in a row, of its newest attempt and what is left of earlier ones."""
    return list(_notifications(row))


def _notifications(row: ExportRow) -> Iterator[Notification]:
    for key, delivery in row.deliveries.items():
        attempt, _, name = key.partition("/")
        yield Notification(
            export_id=row.id,
            app=row.request.app,
            export_type=row.request.export_type,
            attempt=int(attempt),
            name=name,
            event=str(delivery.get("event", "")),
            state=str(delivery["state"]),
            tries=int(delivery.get("tries", 0)),
            at=delivery.get("at"),
            error=delivery.get("error"),
            resent=int(delivery.get("resent", 0)),
            event_kept=event_key(int(attempt), name) in row.events,
        )


def choose(row: ExportRow, name: str) -> Notification:
    """The one to send again: of several attempts the newest that failed. Raises NotFound or Conflict."""
    found = [one for one in notifications(row) if one.name == name]
    if not found:
        known = ", ".join(sorted({one.name for one in notifications(row)})) or "none"
        raise NotFound(f"export {row.id!r} has no notification {name[:150]!r}; there are: {known}")
    failed = [one for one in found if one.state == FAILED]
    newest = max(failed or found, key=lambda one: one.attempt)
    about = f"the notification {name!r} of attempt {newest.attempt}"
    if newest.state in PENDING:
        raise Conflict(f"{about} is still being tried ({newest.tries} tries so far)", code="StillTrying")
    if newest.state != FAILED:
        raise Conflict(f"{about} was delivered at {newest.at}", code="AlreadyDelivered")
    if not newest.event_kept:
        raise Conflict(
            f"the event of {about} was not kept: earlier versions of this app did not", code="EventGone"
        )
    return newest


def renewed(row: ExportRow, one: Notification) -> ExportRow:
    """The row with that notification pending again."""
    pending = {
        "event": one.event,
        "state": "Pending",
        "tries": 0,
        "at": stamp(),
        "error": one.error,
        "resent": one.resent + 1,
    }
    return row.with_delivery(one.attempt, one.name, pending)


def show_notification(one: Notification, base_url: str) -> dict[str, Any]:
    """As the HTTP API shows it; `base_url` is this app's, up to and with its route prefix."""
    export = f"{base_url}/exports/{quote(one.export_id, safe='')}"
    return {
        "exportId": one.export_id,
        "app": one.app,
        "exportType": one.export_type,
        "attempt": one.attempt,
        "notification": one.name,
        "target": one.target,
        "event": one.event,
        "state": one.state,
        "tries": one.tries,
        "resent": one.resent,
        "lastTryAt": one.at,
        "error": one.error,
        "links": {
            "export": export,
            "resend": f"{export}/notifications/{quote(one.name, safe='')}/resend",
        },
    }


@dataclass(frozen=True)
class NotificationPage:
    """One page of the list."""

    found: list[Notification]
    token: str | None
    """Continuation; None at the end."""
    unreadable: list[str]
    """Ids of rows that cannot be read."""


@dataclass(frozen=True)
class Notifications:
    """Notifications of all exports, over one registry."""

    registry: Registry
    config: ExportsConfig

    def page(self, query: NotificationQuery) -> NotificationPage:
        """Those in that state, by export id. Raises RequestError for a continuation that storage refuses."""
        page = self.registry.undelivered(query.state, query.app, query.limit, query.continuation)
        wanted = STATES[query.state]
        found = [one for row in page.rows for one in notifications(row) if one.state in wanted]
        return NotificationPage(found, page.token, page.unreadable)

    def resend(self, export_id: str, name: str) -> tuple[ExportRow, Notification]:
        """Makes a failed notification pending again; the row and the notification as they are then.

        Raises NotFound, or Conflict that says why not.
        """
        chosen: Notification | None = None

        def change(row: ExportRow) -> ExportRow:
            nonlocal chosen
            chosen = choose(row, name)
            if chosen.target not in self.config.targets:
                raise Conflict(f"exports.toml has no [targets.{chosen.target}] any more", code="TargetGone")
            return renewed(row, chosen)

        row = self.registry.amend(export_id, change)
        assert chosen is not None
        again = replace(chosen, state="Pending", tries=0, resent=chosen.resent + 1)
        return row, again
