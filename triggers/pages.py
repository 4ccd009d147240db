"""The status page: what the HTTP API tells and takes, for people. The pages are in `mobexport/pages`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import azure.functions as func

from durable_app.blueprint import Blueprint
from durable_app.http import next_page, status_of
from durable_app.sdk import Client
from durable_app.starting import begin_batch, begin_export, cancel, resend
from mobexport.errors import RequestError
from triggers.apis import CHANGE_PAGE, PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mobexport.pages.posts import Fields
    from mobexport.pipeline.requests.batches import Batch
    from mobexport.services import Services

blueprint = Blueprint()

_FILES: Final = 20
_LINES: Final = 20


@blueprint.route(PAGE, "ui", "GET")
def page_exports(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """The list of exports, with filters."""
    from mobexport import export_types
    from mobexport.clock import now
    from mobexport.pages import bodies, export_view
    from mobexport.pipeline.account import total_rejected
    from mobexport.pipeline.registry.registry import Page
    from mobexport.pipeline.registry.states import State
    from mobexport.pipeline.requests.export_list import parse_list_query
    from mobexport.pipeline.requests.views import show_export

    problems: dict[str, str] = {}
    given = _options(req)
    try:
        found = services.registry.page(parse_list_query(given))
    except RequestError as error:
        problems = bodies.problems_of(error)
        found = Page([], None, [])
    base = services.settings.own_api_url
    shown = [show_export(row, base) for row in found.rows]
    return _page(
        services,
        req,
        "exports",
        here="",
        status=400 if problems else 200,
        exports=[
            {
                "export": one,
                "seconds": export_view.seconds(one, now()),
                "rejects": total_rejected(one["counts"])[0] if one["counts"] else None,
                "progress": export_view.progress(one),
            }
            for one in shown
        ],
        live=any(not State(one["state"]).terminal for one in shown),
        unreadable=found.unreadable,
        next=next_page(given, found.token) if found.token else "",
        types=[one.name for one in export_types.all_types()],
        states=list(State),
        apps=sorted(services.config.apps),
        given=bodies.given({name: [value] for name, value in given.items()}),
        problems=problems,
    )


@blueprint.route(PAGE, "ui/exports/{exportId}", "GET")
def page_export(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """One export."""
    from mobexport.blob_paths import CURATED_CONTAINER
    from mobexport.clock import now
    from mobexport.pages import export_view
    from mobexport.pipeline.requests.reject_samples import show_rejects
    from mobexport.pipeline.requests.views import show_export

    row = services.registry.get(req.route_params["exportId"])
    export = show_export(row, services.settings.own_api_url)
    rules = export_view.rules(export)
    samples = show_rejects(services.storage, row) if rules else {"raw": [], "export": []}
    manifest = services.storage.read_json(CURATED_CONTAINER, row.manifest) if row.manifest else None
    files = manifest["outputs"] if manifest else []
    return _page(
        services,
        req,
        "export",
        export=export,
        notice=_NOTICES.get(req.params.get("done", ""), ""),
        seconds=export_view.seconds(export, now()),
        progress=export_view.progress(export),
        steps=export_view.timeline(export),
        bars=export_view.account(export),
        rules=rules,
        samples=[("raw data", samples["raw"]), ("export file", samples["export"])],
        files=files[:_FILES],
        more_files=max(len(files) - _FILES, 0),
        can_cancel=export_view.can_cancel(export),
        can_rerun=export_view.can_rerun(export),
        can_wait=not row.state.terminal,
        live=export_view.is_live(export),
    )


_NOTICES: Final = {
    "requested": "The export was requested.",
    "known": "This export was there already.",
    "cancel": "The cancel was requested.",
    "rerun": "The next attempt was requested.",
    "resend": "The notification is sent again.",
}


@blueprint.client_route(CHANGE_PAGE, "ui/exports/{exportId}/cancel", "POST")
async def page_cancel(services: Services, req: func.HttpRequest, client: Client) -> func.HttpResponse:
    """303 to the export."""
    await asyncio.to_thread(_form, services, req)
    row = await cancel(client, services, req.route_params["exportId"])
    return _see(f"/exports/{quote(row.id, safe='')}?done=cancel")


@blueprint.client_route(CHANGE_PAGE, "ui/exports/{exportId}/rerun", "POST")
async def page_rerun(services: Services, req: func.HttpRequest, client: Client) -> func.HttpResponse:
    """303 to the export, in its next attempt."""
    from mobexport.clock import now
    from mobexport.pipeline.requests.rerun_body import rerun_body
    from mobexport.pipeline.requests.views import show_export

    await asyncio.to_thread(_form, services, req)
    row = await asyncio.to_thread(services.registry.get, req.route_params["exportId"])
    body = rerun_body(show_export(row, services.settings.own_api_url), now())
    row, _ = await begin_export(client, services, {**body, "notify": list(row.request.notify)})
    return _see(f"/exports/{quote(row.id, safe='')}?done=rerun")


@blueprint.client_route(CHANGE_PAGE, "ui/exports/{exportId}/notifications/{notification}/resend", "POST")
async def page_resend(services: Services, req: func.HttpRequest, client: Client) -> func.HttpResponse:
    """303 to the export; its notification is pending again."""
    await asyncio.to_thread(_form, services, req)
    parts = req.route_params
    row, _ = await resend(client, services, parts["exportId"], parts["notification"])
    return _see(f"/exports/{quote(row.id, safe='')}?done=resend")


@blueprint.route(PAGE, "ui/notifications", "GET")
def page_notifications(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """Notifications that were not delivered, of all exports."""
    from mobexport.pages import bodies
    from mobexport.pipeline.notify.undelivered import STATES, NotificationPage, parse_query

    problems: dict[str, str] = {}
    given = _options(req)
    try:
        found = services.notifications.page(parse_query(given))
    except RequestError as error:
        problems = bodies.problems_of(error)
        found = NotificationPage([], None, [])
    return _page(
        services,
        req,
        "notifications",
        here="/notifications",
        status=400 if problems else 200,
        notifications=found.found,
        unreadable=found.unreadable,
        next=next_page(given, found.token) if found.token else "",
        states=list(STATES),
        apps=sorted(services.config.apps),
        given=bodies.given({name: [value] for name, value in given.items()}),
        problems=problems,
    )


@blueprint.route(PAGE, "ui/request", "GET")
def page_request_form(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """The form that requests an export; what the query names is filled in."""
    fields = {name: [value] for name, value in req.params.items()}
    return _request_form(services, req, fields, {})


@blueprint.client_route(CHANGE_PAGE, "ui/request", "POST")
async def page_request(services: Services, req: func.HttpRequest, client: Client) -> func.HttpResponse:
    """303 to the export; 400 with the form and what is wrong."""
    from mobexport.pages import bodies

    fields = await asyncio.to_thread(_form, services, req)
    try:
        row, began = await begin_export(client, services, bodies.export_body(fields))
    except RequestError as error:
        problems = bodies.problems_of(error)
        return await asyncio.to_thread(_request_form, services, req, fields, problems, status_of(error))
    return _see(f"/exports/{quote(row.id, safe='')}?done={'requested' if began else 'known'}")


def _request_form(
    services: Services, req: func.HttpRequest, fields: Fields, problems: Mapping[str, str], status: int = 200
) -> func.HttpResponse:
    from mobexport import export_types
    from mobexport.pages import bodies
    from mobexport.pipeline.requests.request_parsing import by_campaign, campaign_types
    from mobexport.records.formats import ExportFormat

    all_types = export_types.all_types()
    return _page(
        services,
        req,
        "request",
        here="/request",
        status=status,
        types=[one.name for one in all_types],
        campaign_types=sorted(
            {kind for one in all_types if by_campaign(one) for kind in campaign_types(one)}
        ),
        formats=list(ExportFormat),
        apps=sorted(services.config.apps),
        targets=sorted(services.config.targets),
        chosen=fields.get("notify", []),
        given=bodies.given(fields),
        more=bool({"format", "containerUrl", "notify", "rerun"} & {*problems, *fields} - {"format"}),
        campaign=any(name.startswith("campaign") for name in (*problems, *fields)),
        problems=problems,
    )


@blueprint.route(PAGE, "ui/batch", "GET")
def page_batch_form(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """The form that requests a batch."""
    return _batch_form(services, req, {}, {})


@blueprint.client_route(CHANGE_PAGE, "ui/batch", "POST")
async def page_request_batch(services: Services, req: func.HttpRequest, client: Client) -> func.HttpResponse:
    """303 to the batch; 400 with the form and what is wrong."""
    from mobexport.pages import bodies

    fields = await asyncio.to_thread(_form, services, req)
    body = bodies.batch_body(fields)
    try:
        batch, began = await begin_batch(client, lambda: services.request_batch(body))
    except RequestError as error:
        problems = bodies.problems_of(error)
        return await asyncio.to_thread(_batch_form, services, req, fields, problems, status_of(error))
    return _see_batch(batch, began)


def _see_batch(batch: Batch, began: bool) -> func.HttpResponse:
    return _see(f"/batches/{quote(batch.id, safe='')}?done={'requested' if began else 'known'}")


def _batch_form(
    services: Services, req: func.HttpRequest, fields: Fields, problems: Mapping[str, str], status: int = 200
) -> func.HttpResponse:
    from mobexport import export_types
    from mobexport.pages import bodies

    return _page(
        services,
        req,
        "batch_form",
        here="/batch",
        status=status,
        types=[one.name for one in export_types.all_types()],
        chosen_types=fields.get("exportTypes", []),
        apps=sorted(services.config.apps),
        targets=sorted(services.config.targets),
        chosen=fields.get("notify", []),
        given=bodies.given(fields),
        problems=problems,
    )


@blueprint.route(PAGE, "ui/batches/{batchId}", "GET")
def page_batch(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """One batch."""
    from mobexport.pipeline.requests.views import show_batch

    batch = show_batch(services.batches.get(req.route_params["batchId"]), services.settings.own_api_url)
    notice = {"requested": "The batch was requested.", "known": "This batch was there already."}
    return _page(
        services,
        req,
        "batch",
        batch=batch,
        notice=notice.get(req.params.get("done", ""), ""),
        live=batch["endedAt"] is None,
    )


@blueprint.route(PAGE, "ui/schedules", "GET")
def page_schedules(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """The schedules of exports.toml."""
    from mobexport.clock import now

    return _page(services, req, "schedules", here="/schedules", schedules=services.scheduler.shown(now()))


@blueprint.client_route(CHANGE_PAGE, "ui/schedules/{app}/run", "POST")
async def page_run_schedule(services: Services, req: func.HttpRequest, client: Client) -> func.HttpResponse:
    """303 to the batch that the schedule would request."""
    await asyncio.to_thread(_form, services, req)
    app = req.route_params["app"]
    return _see_batch(*await begin_batch(client, lambda: services.run_schedule(app)))


@blueprint.route(PAGE, "ui/raw", "GET")
def page_raw(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """The calendar of one app: days that are there, exported, missing."""
    from mobexport.pages import calendar_view

    def view(shown: Mapping[str, Any]) -> dict[str, Any]:
        earlier, later = calendar_view.pages(shown)
        return {
            "days": calendar_view.calendar(shown),
            "kinds": calendar_view.readable(shown),
            "missing": calendar_view.missing(shown),
            "earlier": earlier,
            "later": later,
        }

    return _days_page(services, req, "raw", view, marks=calendar_view.MARKS)


@blueprint.route(PAGE, "ui/charts", "GET")
def page_charts(services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """Charts of one app: rows by day, rejects, durations."""
    from mobexport.pages import charts
    from mobexport.pipeline.requests.export_list import MAX_LIMIT, ListQuery
    from mobexport.pipeline.requests.views import show_export

    def view(shown: Mapping[str, Any]) -> dict[str, Any]:
        found = services.registry.page(ListQuery(app=shown["app"], limit=MAX_LIMIT)).rows
        rows = sorted(found, key=lambda row: row.began_at, reverse=True)
        exports = [show_export(row, services.settings.own_api_url) for row in rows]
        kinds = (charts.rows_by_day(one) for one in shown["types"])
        return {
            "rows": [one for one in kinds if one],
            "rates": charts.reject_rates(exports),
            "lines": charts.durations(exports)[:_LINES],
        }

    return _days_page(services, req, "charts", view, phases=charts.PHASES)


def _days_page(
    services: Services,
    req: func.HttpRequest,
    template: str,
    view: Callable[[Mapping[str, Any]], dict[str, Any]],
    **values: Any,
) -> func.HttpResponse:
    """A page of an app's days: of the app that the query names, else of the only one."""
    from mobexport.clock import now
    from mobexport.pages import bodies

    given = _options(req)
    apps = sorted(services.config.apps)
    app = given.get("app") or (apps[0] if apps else "")
    problems: dict[str, str] = {}
    shown: Mapping[str, Any] | None = None
    if app:
        try:
            query = {name: value for name, value in given.items() if name != "app"}
            shown = services.day_map.show(app, query, now())
        except RequestError as error:
            problems = bodies.problems_of(error)
    return _page(
        services,
        req,
        template,
        here=f"/{template}",
        status=400 if problems else 200,
        shown=shown,
        apps=apps,
        given=bodies.given({"app": [app], "last": [shown["last"]] if shown else [""]}),
        problems=problems,
        **values,
        **(view(shown) if shown else {}),
    )


@blueprint.route(PAGE, "ui/static/{name}", "GET")
def page_file(_services: Services, req: func.HttpRequest) -> func.HttpResponse:
    """A file that pages load."""
    from mobexport.pages.site import HEADERS, read_asset

    data, media = read_asset(req.route_params["name"])
    headers = {**HEADERS, "Cache-Control": "private, max-age=31536000, immutable"}
    return func.HttpResponse(data, headers=headers, mimetype=media, charset="utf-8")


# Name and path of what the pages lead to.
_PAGES: Final = (
    ("Exports", ""),
    ("Request", "/request"),
    ("Batch", "/batch"),
    ("Schedules", "/schedules"),
    ("Notifications", "/notifications"),
    ("Raw data", "/raw"),
    ("Charts", "/charts"),
)


def _page(
    services: Services,
    req: func.HttpRequest,
    template: str,
    *,
    here: str | None = None,
    status: int = 200,
    **values: Any,
) -> func.HttpResponse:
    """A page for this visitor; `here` is its path among those of the navigation."""
    from mobexport.pages.access import admit
    from mobexport.pages.posts import token_of
    from mobexport.pages.site import render

    visitor = admit(services.settings, req.headers)
    token, cookie = token_of(services.settings, req.headers)
    site = {
        "pages": _PAGES,
        "here": here,
        "visitor": visitor.name,
        "may_change": visitor.may_change,
        "token": token,
    }
    page = render(template, site=site, **values)
    headers = {**page.headers, **({"Set-Cookie": cookie} if cookie else {})}
    return func.HttpResponse(
        page.html, status_code=status, headers=headers, mimetype="text/html", charset="utf-8"
    )


def _options(req: func.HttpRequest) -> dict[str, str]:
    """What the query says; a function key in it is of no use here, and is not passed on."""
    return {name: value for name, value in req.params.items() if value and name.lower() != "code"}


def _form(services: Services, req: func.HttpRequest) -> Fields:
    from mobexport.pages.posts import read_form

    return read_form(services.settings, req.headers, req.get_body() or b"")


def _see(path: str) -> func.HttpResponse:
    """303: the answer to a form is another page, so that a reload does not send it again."""
    from mobexport.pages.site import ROOT

    return func.HttpResponse(
        status_code=303, headers={"Location": f"{ROOT}{path}", "Cache-Control": "no-store"}
    )
